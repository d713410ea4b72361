#include "connection.h"

#include "server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define SENDFILE_STEP (1u << 20)

/* Bytes sent, or -1 when the connection is broken; less than `length` means that it is full. */
ssize_t fv_conn_send(fv_conn *conn, const uint8_t *bytes, size_t length, int more)
{
    size_t done = 0;
    while (done < length) {
        ssize_t n = send(conn->fd, bytes + done, length - done,
                         MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0)
            return -1;
        done += (size_t)n;
    }
    if (done > 0)
        conn->active_ms = fv_now_ms();
    conn->turn += done;
    return (ssize_t)done;
}

static int save_output(fv_conn *conn, const uint8_t *bytes, size_t length)
{
    assert(conn->out == NULL);
    conn->out = malloc(length);
    if (conn->out == NULL)
        return -1;
    memcpy(conn->out, bytes, length);
    conn->out_length = length;
    conn->out_at = 0;
    return 0;
}

/* WAIT when everything is out, else WRITE or CLOSED. */
int fv_conn_flush(fv_conn *conn, fv_output *batch, int more)
{
    if (batch->length == 0)
        return FV_CONN_WAIT;
    ssize_t sent = fv_conn_send(conn, batch->data, batch->length, more);
    size_t left = batch->length - (sent > 0 ? (size_t)sent : 0);
    const uint8_t *rest = batch->data + batch->length - left;
    batch->length = 0;
    if (sent < 0)
        return FV_CONN_CLOSED;
    if (left == 0)
        return FV_CONN_WAIT;
    return save_output(conn, rest, left) == 0 ? FV_CONN_WRITE : FV_CONN_CLOSED;
}

int fv_conn_submit(fv_conn *conn, const fv_cold *cold)
{
    fv_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        fv_volume_unref(cold->volume);
        return FV_CONN_PYTHON;
    }
    job->cold = *cold;
    job->owner = conn;
    job->completions = &conn->loop->completions;
    conn->loop->completions.outstanding++;
    conn->job = job;
    fv_tally_add(&conn->loop->tally, FV_COUNT_COLD, 1);
    fv_pool_submit(conn->loop->server->pool, job);
    return FV_CONN_COLD;
}

/* WAIT when the pages that are sent next are cached, COLD when they are being fetched. */
static int want_file_pages(fv_conn *conn)
{
    uint64_t window = conn->file_left < FV_COLD_WINDOW ? conn->file_left : FV_COLD_WINDOW;
    if (!conn->file_unsure || conn->file_offset < conn->file_fetched ||
        fv_volume_resident(conn->file_volume, conn->file_offset, window))
        return FV_CONN_WAIT;
    fv_cold cold = {
        .volume = fv_volume_ref(conn->file_volume), .offset = conn->file_offset, .length = window};
    conn->file_fetched = conn->file_offset + window;
    if (fv_conn_submit(conn, &cold) != FV_CONN_COLD)
        return FV_CONN_CLOSED;
    conn->job_is_body = 1;
    return FV_CONN_COLD;
}

int fv_conn_send_file(fv_conn *conn)
{
    while (conn->file_left > 0) {
        if (conn->turn >= TURN_MAX)
            return FV_CONN_WRITE;
        int state = want_file_pages(conn);
        if (state != FV_CONN_WAIT)
            return state;
        uint64_t step_max = conn->file_unsure ? FV_COLD_WINDOW : SENDFILE_STEP;
        size_t step = conn->file_left < step_max ? conn->file_left : step_max;
        off_t offset = (off_t)conn->file_offset;
        ssize_t n = sendfile(conn->fd, fv_volume_dat_fd(conn->file_volume), &offset, step);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return FV_CONN_WRITE;
        if (n <= 0)
            return FV_CONN_CLOSED; /* the file ends early, or the peer is gone */
        conn->active_ms = fv_now_ms();
        conn->file_offset += (uint64_t)n;
        conn->file_left -= (uint64_t)n;
        conn->turn += (uint64_t)n;
    }
    fv_conn_drop_file(conn);
    return FV_CONN_WAIT;
}

/* Batch and body in one call, straight from the mapping; what does not fit goes by sendfile. A page
 * that cannot be read any more makes the kernel give up, not us. */
int fv_conn_send_mapped(fv_conn *conn, fv_output *batch, const uint8_t *body)
{
    struct iovec parts[2] = {
        {.iov_base = batch->data, .iov_len = batch->length},
        {.iov_base = (void *)body, .iov_len = conn->file_left},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n;
    do
        n = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return FV_CONN_CLOSED;
    size_t sent = n > 0 ? (size_t)n : 0;
    if (sent > 0)
        conn->active_ms = fv_now_ms();
    conn->turn += sent;
    if (sent < batch->length) {
        int saved = save_output(conn, batch->data + sent, batch->length - sent);
        batch->length = 0;
        return saved == 0 ? FV_CONN_WRITE : FV_CONN_CLOSED;
    }
    sent -= batch->length;
    batch->length = 0;
    conn->file_offset += sent;
    conn->file_left -= sent;
    return fv_conn_send_file(conn);
}
