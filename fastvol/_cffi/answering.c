#include "connection.h"

#include "accept.h"
#include "request.h"
#include "server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Answers of one batch of pipelined requests are gathered up to this size, then sent. */
#define BATCH_MAX (64u << 10)

static _Thread_local uint8_t *input_buffer;
static _Thread_local fv_output output;

static void count_duration(fv_tally *tally, int kind, uint64_t ns)
{
    int first = FV_COUNT_DURATIONS + kind * FV_DURATION_SLOTS;
    int bucket = 0;
    for (uint64_t bound = 100000; bucket < FV_DURATION_BUCKETS && ns > bound; bound *= 2)
        bucket++;
    fv_tally_add(tally, first + bucket, 1);
    fv_tally_add(tally, first + FV_DURATION_BUCKETS + 1, ns);
}

static int duration_of(int count)
{
    if (count == FV_COUNT_POST_201 || count == FV_COUNT_POST_204)
        return FV_DURATION_POST;
    return count == FV_COUNT_HEAD_200 || count == FV_COUNT_HEAD_304 ? FV_DURATION_HEAD
                                                                    : FV_DURATION_GET;
}

/* The next request of a pipeline begins where this one ends, so that each costs one look at the
 * clock. */
static void count_reply(fv_conn *conn, const fv_reply *reply, uint64_t bytes)
{
    fv_tally *tally = &conn->loop->tally;
    uint64_t now = fv_now_ns();
    count_duration(tally, duration_of(reply->count), now - conn->began_ns);
    conn->began_ns = now;
    fv_tally_add(tally, reply->count, 1);
    fv_tally_add(tally, FV_COUNT_BYTES, bytes);
}

static int prepare_buffers(const fv_server *server)
{
    size_t needed = BATCH_MAX + FV_HEAD_MAX + server->options.copy_max;
    if (input_buffer == NULL)
        input_buffer = malloc(INPUT_MAX);
    if (output.capacity < needed) {
        uint8_t *grown = realloc(output.data, needed);
        if (grown == NULL)
            return -1;
        output.data = grown;
        output.capacity = needed;
    }
    return input_buffer == NULL ? -1 : 0;
}

/* One upload at bytes[0..length); as answer_one. */
static int answer_upload(fv_conn *conn, const uint8_t *bytes, size_t length, size_t *consumed)
{
    fv_server *server = conn->loop->server;
    fv_upload upload;
    fv_reply reply;
    if (conn->is_public || !atomic_load_explicit(&server->fast_write, memory_order_relaxed))
        return FV_CONN_PYTHON;
    int parsed = fv_upload_parse((const char *)bytes, length, INPUT_MAX, &upload);
    if (parsed == FV_UPLOAD_INCOMPLETE)
        return FV_CONN_WAIT;
    if (parsed == FV_UPLOAD_NOT_MINE)
        return FV_CONN_PYTHON;
    size_t before = output.length;
    if (fv_accept(server, &upload, &output, &reply) != FV_REPLY_DONE)
        return FV_CONN_PYTHON;
    *consumed = upload.total_length;
    count_reply(conn, &reply, output.length - before);
    count_duration(&conn->loop->tally, FV_DURATION_APPEND, reply.append_ns);
    fv_tally_add(&conn->loop->tally, FV_COUNT_RECEIVED, upload.data_length);
    return output.length >= BATCH_MAX ? fv_conn_flush(conn, &output, 0) : FV_CONN_WAIT;
}

/* One read at bytes[0..length); as answer_one. */
static int answer_read(fv_conn *conn, const uint8_t *bytes, size_t length, size_t *consumed)
{
    fv_server *server = conn->loop->server;
    fv_request request;
    fv_reply reply;
    fv_cold cold;
    if (!atomic_load_explicit(&server->fast_read, memory_order_relaxed))
        return FV_CONN_PYTHON;
    int parsed = fv_request_parse((const char *)bytes, length, &request);
    if (parsed == FV_REQUEST_INCOMPLETE)
        return FV_CONN_WAIT;
    if (parsed == FV_REQUEST_NOT_MINE || conn->warm.offset == UINT64_MAX) {
        fv_conn_forget_warm(conn);
        return FV_CONN_PYTHON;
    }
    memset(&cold, 0, sizeof cold);
    size_t before = output.length;
    int built = fv_reply_build(server, &request, &conn->warm, &output, &reply, &cold);
    if (built == FV_REPLY_COLD)
        return fv_conn_submit(conn, &cold);
    if (conn->warm.offset != 0)
        fv_conn_forget_warm(conn);
    if (built == FV_REPLY_NOT_MINE)
        return FV_CONN_PYTHON;
    *consumed = request.head_length;
    count_reply(conn, &reply, output.length - before + reply.file_length);
    if (reply.file_length == 0)
        return output.length >= BATCH_MAX ? fv_conn_flush(conn, &output, 0) : FV_CONN_WAIT;
    conn->file_volume = reply.volume;
    conn->file_offset = reply.file_offset;
    conn->file_left = reply.file_length;
    conn->file_unsure = reply.unsure;
    if (reply.mapped != NULL)
        return fv_conn_send_mapped(conn, &output, reply.mapped);
    int state = fv_conn_flush(conn, &output, 1);
    return state == FV_CONN_WAIT ? fv_conn_send_file(conn) : state;
}

/* One request at bytes[0..]; PYTHON, COLD, WRITE, CLOSED, or WAIT with *consumed > 0 when answered
 * and 0 when incomplete. */
static int answer_one(fv_conn *conn, const uint8_t *bytes, size_t length, size_t *consumed)
{
    *consumed = 0;
    return bytes[0] == 'P' ? answer_upload(conn, bytes, length, consumed)
                           : answer_read(conn, bytes, length, consumed);
}

int fv_conn_answer(fv_conn *conn, const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    int state = FV_CONN_WAIT;
    if (length == 0)
        return FV_CONN_WAIT;
    if (prepare_buffers(conn->loop->server) != 0)
        return FV_CONN_CLOSED;
    output.length = 0;
    if (conn->began_ns == 0)
        conn->began_ns = fv_now_ns();
    while (at < length && state == FV_CONN_WAIT && conn->turn < TURN_MAX) {
        size_t consumed = 0;
        state = answer_one(conn, bytes + at, length - at, &consumed);
        at += consumed;
        if (consumed == 0)
            break;
    }
    if (state != FV_CONN_COLD || conn->job_is_body)
        conn->began_ns = 0;
    int flushed = fv_conn_flush(conn, &output, 0);
    if (fv_conn_save_input(conn, bytes + at, length - at) != 0)
        return FV_CONN_CLOSED;
    /* From here on `bytes` is not to be looked at: it may have been what was saved. */
    if (state == FV_CONN_WAIT && at < length && conn->turn >= TURN_MAX) {
        /* A writable socket brings the next turn. */
        conn->yielded = 1;
        state = FV_CONN_WRITE;
    }
    /* The request in progress keeps its deadline however slowly it drips in, in whosever hands. */
    if (state == FV_CONN_WAIT && at < length &&
        memmem(conn->saved, conn->saved_length, "\r\n\r\n", 4) == NULL) {
        if (conn->head_ms == 0 || at > 0)
            conn->head_ms = fv_now_ms();
    } else if (state != FV_CONN_PYTHON || at > 0) {
        conn->head_ms = 0;
    }
    if (flushed == FV_CONN_CLOSED || state == FV_CONN_CLOSED)
        return FV_CONN_CLOSED;
    if (flushed == FV_CONN_WRITE)
        return FV_CONN_WRITE; /* what `state` says is found again once the socket has drained */
    if (state == FV_CONN_PYTHON)
        fv_tally_add(&conn->loop->tally, FV_COUNT_PYTHON, 1);
    return state;
}

int fv_conn_receive(fv_conn *conn)
{
    assert(conn->job == NULL && conn->out == NULL && conn->file_left == 0);
    if (prepare_buffers(conn->loop->server) != 0)
        return FV_CONN_CLOSED;
    size_t length = conn->saved_length;
    if (length >= INPUT_MAX)
        return FV_CONN_PYTHON;
    if (length > 0)
        memcpy(input_buffer, conn->saved, length);
    ssize_t n = recv(conn->fd, input_buffer + length, INPUT_MAX - length, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return FV_CONN_WAIT;
    if (n == 0 && length > 0)
        return FV_CONN_PYTHON; /* a request cut off: it has the words for that */
    if (n <= 0)
        return FV_CONN_CLOSED;
    conn->active_ms = fv_now_ms();
    return fv_conn_answer(conn, input_buffer, length + (size_t)n);
}
