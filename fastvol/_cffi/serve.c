#include "serve.h"

#include "accept.h"
#include "pool.h"
#include "reply.h"
#include "request.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX FV_GIVE_MAX
#define READY_MAX 128
/* Answers of one batch of pipelined requests are gathered up to this size, then sent. */
#define BATCH_MAX (64u << 10)
/* What one connection may send by sendfile before others get their turn. */
#define TURN_MAX (4u << 20)
#define SENDFILE_STEP (1u << 20)

struct fv_loop {
    fv_server *server;
    int epoll_fd;
    fv_conn *first;
    size_t count;
    fv_completions completions;
};

struct fv_conn {
    fv_loop *loop;
    fv_conn *previous;
    fv_conn *next;
    int fd;
    uint64_t token;
    int64_t active_ms;
    int64_t head_ms; /* when the unfinished head began; 0 = none */
    int busy;
    int is_public;
    int held;          /* by Python */
    unsigned wanted;   /* EPOLLIN, EPOLLOUT: what Python watches while it holds the connection */
    unsigned watched;  /* what epoll is told at this moment */
    int registered;    /* with epoll at all; a reset connection that nobody waits for is not */
    /* Input that is not consumed yet: an unfinished head, or what waits behind a blocked answer. */
    uint8_t *saved;
    size_t saved_length;
    size_t saved_capacity;
    /* Output that the socket did not take. */
    uint8_t *out;
    size_t out_length;
    size_t out_at;
    fv_volume *file_volume;
    uint64_t file_offset;
    uint64_t file_left;
    int file_unsure;        /* its pages may have to be fetched */
    uint64_t file_fetched;  /* up to this offset they have been */
    uint64_t turn;          /* bytes sent since others had their turn */
    int yielded;            /* saved input waits for the next turn */
    fv_job *job;
    int job_is_body; /* it fetches pages of the body that is being sent */
    fv_warm warm;
};

static _Thread_local uint8_t *input_buffer;
static _Thread_local fv_output output;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the server ------------------------------------------------------------------------------ */

fv_server *fv_server_new(const fv_server_options *options)
{
    fv_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    /* "Verified once" remembers a bit a granule, so what it remembers must not share one. */
    assert(!options->verify_once || options->copy_max >= FV_ONCE_GRANULE);
    server->options = *options;
    server->server_header = strdup(options->server_header);
    server->options.server_header = server->server_header;
    server->mime = fv_mime_table_new();
    server->pool = fv_pool_new(options->io_threads);
    pthread_rwlock_init(&server->table_lock, NULL);
    atomic_init(&server->fast_read, 1);
    atomic_init(&server->fast_write, 1);
    if (server->server_header == NULL || server->mime == NULL || server->pool == NULL) {
        fv_server_free(server);
        return NULL;
    }
    server->server_header_length = strlen(server->server_header);
    return server;
}

void fv_server_free(fv_server *server)
{
    if (server->pool != NULL)
        fv_pool_free(server->pool);
    for (size_t i = 0; i < server->table_length; i++)
        fv_volume_unref(server->table[i].volume);
    free(server->table);
    fv_mime_table_free(server->mime);
    free(server->server_header);
    pthread_rwlock_destroy(&server->table_lock);
    free(server);
}

int fv_server_add_mime(fv_server *server, int lower, const char *extension, const char *type)
{
    return fv_mime_table_add(server->mime, lower, extension, type);
}

void fv_server_set_fast_read(fv_server *server, int on)
{
    atomic_store(&server->fast_read, on);
}

void fv_server_set_fast_write(fv_server *server, int on)
{
    atomic_store(&server->fast_write, on);
}

void fv_server_counts(fv_server *server, uint64_t *out)
{
    for (int i = 0; i < FV_COUNTS; i++)
        out[i] = atomic_load_explicit(&server->counts[i], memory_order_relaxed);
}

static void count(fv_server *server, int which, uint64_t amount)
{
    atomic_fetch_add_explicit(&server->counts[which], amount, memory_order_relaxed);
}

/* First slot whose id is not below `id`. */
static size_t slot_of(const fv_server *server, uint32_t id)
{
    size_t low = 0;
    size_t high = server->table_length;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (server->table[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int fv_server_put_volume(fv_server *server, uint32_t id, fv_volume *volume)
{
    fv_volume *replaced = NULL;
    int result = 0;
    pthread_rwlock_wrlock(&server->table_lock);
    size_t at = slot_of(server, id);
    if (at < server->table_length && server->table[at].id == id) {
        replaced = server->table[at].volume;
        server->table[at].volume = fv_volume_ref(volume);
    } else {
        if (server->table_length == server->table_capacity) {
            size_t capacity = server->table_capacity * 2 + 16;
            struct fv_slot *grown = realloc(server->table, capacity * sizeof *grown);
            if (grown == NULL)
                result = -1;
            else {
                server->table = grown;
                server->table_capacity = capacity;
            }
        }
        if (result == 0) {
            memmove(server->table + at + 1, server->table + at,
                    (server->table_length - at) * sizeof *server->table);
            server->table[at].id = id;
            server->table[at].volume = fv_volume_ref(volume);
            server->table_length++;
        }
    }
    pthread_rwlock_unlock(&server->table_lock);
    if (replaced != NULL)
        fv_volume_unref(replaced);
    return result;
}

void fv_server_drop_volume(fv_server *server, uint32_t id)
{
    fv_volume *dropped = NULL;
    pthread_rwlock_wrlock(&server->table_lock);
    size_t at = slot_of(server, id);
    if (at < server->table_length && server->table[at].id == id) {
        dropped = server->table[at].volume;
        memmove(server->table + at, server->table + at + 1,
                (server->table_length - at - 1) * sizeof *server->table);
        server->table_length--;
    }
    pthread_rwlock_unlock(&server->table_lock);
    if (dropped != NULL)
        fv_volume_unref(dropped);
}

fv_volume *fv_server_find_volume(fv_server *server, uint32_t id)
{
    fv_volume *volume = NULL;
    pthread_rwlock_rdlock(&server->table_lock);
    size_t at = slot_of(server, id);
    if (at < server->table_length && server->table[at].id == id)
        volume = fv_volume_ref(server->table[at].volume);
    pthread_rwlock_unlock(&server->table_lock);
    return volume;
}

/* ---- the loop -------------------------------------------------------------------------------- */

fv_loop *fv_loop_new(fv_server *server)
{
    fv_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return NULL;
    loop->server = server;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0 || fv_completions_init(&loop->completions) != 0) {
        if (loop->epoll_fd >= 0)
            close(loop->epoll_fd);
        free(loop);
        return NULL;
    }
    /* No pointer: the completions of cold reads. */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int failed = epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->completions.eventfd, &event);
    assert(failed == 0);
    (void)failed;
    return loop;
}

static void finish_job(fv_loop *loop, fv_job *job)
{
    assert(loop->completions.outstanding > 0);
    loop->completions.outstanding--;
    fv_volume_unref(job->cold.volume);
    free(job);
}

void fv_loop_free(fv_loop *loop)
{
    assert(loop->first == NULL);
    while (loop->completions.outstanding > 0) {
        fv_job *job = fv_completions_take(&loop->completions);
        if (job == NULL) {
            struct timespec pause = {.tv_sec = 0, .tv_nsec = 1000000};
            nanosleep(&pause, NULL);
        }
        while (job != NULL) {
            fv_job *next = job->next;
            finish_job(loop, job);
            job = next;
        }
    }
    fv_completions_destroy(&loop->completions);
    close(loop->epoll_fd);
    free(loop);
}

int fv_loop_fd(fv_loop *loop)
{
    return loop->epoll_fd;
}

size_t fv_loop_connections(fv_loop *loop)
{
    return loop->count;
}

size_t fv_loop_expired(fv_loop *loop, int64_t idle_ms, int64_t head_ms, uint64_t *tokens,
                       size_t capacity)
{
    size_t found = 0;
    int64_t now = now_ms();
    for (fv_conn *conn = loop->first; conn != NULL && found < capacity; conn = conn->next) {
        if (conn->busy || conn->job != NULL)
            continue;
        if (now - conn->active_ms >= idle_ms ||
            (conn->head_ms != 0 && now - conn->head_ms >= head_ms))
            tokens[found++] = conn->token;
    }
    return found;
}

/* ---- one connection -------------------------------------------------------------------------- */

static void set_interest(fv_conn *conn, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (conn->registered && conn->watched == events)
        return;
    int how = conn->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    /* Only memory for the registration can fail here; the idle timer then ends the connection. */
    if (epoll_ctl(conn->loop->epoll_fd, how, conn->fd, &event) == 0) {
        conn->registered = 1;
        conn->watched = events;
    }
}

/* Takes off what nobody waits for.  Errors and hang-ups cannot be masked, so after one of those the
 * descriptor leaves epoll until somebody waits again. */
static void mask_unwanted(fv_conn *conn, unsigned wanted, unsigned reported)
{
    if ((reported & (EPOLLERR | EPOLLHUP)) != 0 && conn->registered) {
        epoll_ctl(conn->loop->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
        conn->registered = 0;
        return;
    }
    set_interest(conn, wanted);
}

fv_conn *fv_conn_new(fv_loop *loop, int fd, uint64_t token, int is_public)
{
    fv_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return NULL;
    conn->loop = loop;
    conn->fd = fd;
    conn->token = token;
    conn->is_public = is_public;
    conn->active_ms = now_ms();
    conn->next = loop->first;
    if (loop->first != NULL)
        loop->first->previous = conn;
    loop->first = conn;
    loop->count++;
    set_interest(conn, EPOLLIN);
    if (!conn->registered) {
        fv_conn_free(conn);
        return NULL;
    }
    return conn;
}

static void forget_warm(fv_conn *conn)
{
    if (conn->warm.volume != NULL)
        fv_volume_unref(conn->warm.volume);
    memset(&conn->warm, 0, sizeof conn->warm);
}

static void drop_file(fv_conn *conn)
{
    if (conn->file_volume != NULL)
        fv_volume_unref(conn->file_volume);
    conn->file_volume = NULL;
    conn->file_left = 0;
    conn->file_unsure = 0;
    conn->file_fetched = 0;
}

void fv_conn_free(fv_conn *conn)
{
    fv_loop *loop = conn->loop;
    if (conn->job != NULL)
        conn->job->owner = NULL;
    if (conn->registered)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
    if (conn->previous != NULL)
        conn->previous->next = conn->next;
    else
        loop->first = conn->next;
    if (conn->next != NULL)
        conn->next->previous = conn->previous;
    loop->count--;
    drop_file(conn);
    forget_warm(conn);
    free(conn->saved);
    free(conn->out);
    free(conn);
}

static int save_input(fv_conn *conn, const uint8_t *bytes, size_t length)
{
    if (length == 0) {
        /* An idle connection keeps no buffer. */
        free(conn->saved);
        conn->saved = NULL;
        conn->saved_length = conn->saved_capacity = 0;
        return 0;
    }
    if (length > conn->saved_capacity) {
        uint8_t *grown = malloc(length);
        if (grown == NULL)
            return -1;
        memcpy(grown, bytes, length);
        free(conn->saved);
        conn->saved = grown;
        conn->saved_capacity = length;
    } else {
        memmove(conn->saved, bytes, length);
    }
    conn->saved_length = length;
    return 0;
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

/* Bytes sent, or -1 when the connection is broken; less than `length` means that it is full. */
static ssize_t send_some(fv_conn *conn, const uint8_t *bytes, size_t length, int more)
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
        conn->active_ms = now_ms();
    conn->turn += done;
    return (ssize_t)done;
}

/* WAIT when everything is out, else WRITE or CLOSED. */
static int flush_batch(fv_conn *conn, fv_output *batch, int more)
{
    if (batch->length == 0)
        return FV_CONN_WAIT;
    ssize_t sent = send_some(conn, batch->data, batch->length, more);
    size_t left = batch->length - (sent > 0 ? (size_t)sent : 0);
    const uint8_t *rest = batch->data + batch->length - left;
    batch->length = 0;
    if (sent < 0)
        return FV_CONN_CLOSED;
    if (left == 0)
        return FV_CONN_WAIT;
    return save_output(conn, rest, left) == 0 ? FV_CONN_WRITE : FV_CONN_CLOSED;
}

static int submit_cold(fv_conn *conn, const fv_cold *cold)
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
    count(conn->loop->server, FV_COUNT_COLD, 1);
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
    if (submit_cold(conn, &cold) != FV_CONN_COLD)
        return FV_CONN_CLOSED;
    conn->job_is_body = 1;
    return FV_CONN_COLD;
}

static int send_file(fv_conn *conn)
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
        conn->active_ms = now_ms();
        conn->file_offset += (uint64_t)n;
        conn->file_left -= (uint64_t)n;
        conn->turn += (uint64_t)n;
    }
    drop_file(conn);
    return FV_CONN_WAIT;
}

/* Batch and body in one call, straight from the mapping; what does not fit goes by sendfile. A page
 * that cannot be read any more makes the kernel give up, not us. */
static int send_mapped(fv_conn *conn, fv_output *batch, const uint8_t *body)
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
        conn->active_ms = now_ms();
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
    return send_file(conn);
}

static void count_reply(fv_server *server, const fv_reply *reply, uint64_t bytes,
                        const struct timespec *began)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t)(now.tv_sec - began->tv_sec) * 1000000000ull +
                  (uint64_t)(now.tv_nsec - began->tv_nsec);
    int bucket = 0;
    for (uint64_t bound = 100000; bucket < FV_COUNT_BUCKETS && ns > bound; bound *= 2)
        bucket++;
    count(server, FV_COUNT_FIRST_BUCKET + bucket, 1);
    count(server, reply->count, 1);
    count(server, FV_COUNT_BYTES, bytes);
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
    struct timespec began;
    if (conn->is_public || !atomic_load_explicit(&server->fast_write, memory_order_relaxed))
        return FV_CONN_PYTHON;
    int parsed = fv_upload_parse((const char *)bytes, length, INPUT_MAX, &upload);
    if (parsed == FV_UPLOAD_INCOMPLETE)
        return FV_CONN_WAIT;
    if (parsed == FV_UPLOAD_NOT_MINE)
        return FV_CONN_PYTHON;
    clock_gettime(CLOCK_MONOTONIC, &began);
    size_t before = output.length;
    if (fv_accept(server, &upload, &output, &reply) != FV_REPLY_DONE)
        return FV_CONN_PYTHON;
    *consumed = upload.total_length;
    count_reply(server, &reply, output.length - before, &began);
    return output.length >= BATCH_MAX ? flush_batch(conn, &output, 0) : FV_CONN_WAIT;
}

/* One read at bytes[0..length); as answer_one. */
static int answer_read(fv_conn *conn, const uint8_t *bytes, size_t length, size_t *consumed)
{
    fv_server *server = conn->loop->server;
    fv_request request;
    fv_reply reply;
    fv_cold cold;
    struct timespec began;
    if (!atomic_load_explicit(&server->fast_read, memory_order_relaxed))
        return FV_CONN_PYTHON;
    int parsed = fv_request_parse((const char *)bytes, length, &request);
    if (parsed == FV_REQUEST_INCOMPLETE)
        return FV_CONN_WAIT;
    if (parsed == FV_REQUEST_NOT_MINE || conn->warm.offset == UINT64_MAX) {
        forget_warm(conn);
        return FV_CONN_PYTHON;
    }
    clock_gettime(CLOCK_MONOTONIC, &began);
    memset(&cold, 0, sizeof cold);
    size_t before = output.length;
    int built = fv_reply_build(server, &request, &conn->warm, &output, &reply, &cold);
    if (built == FV_REPLY_COLD)
        return submit_cold(conn, &cold);
    if (conn->warm.offset != 0)
        forget_warm(conn);
    if (built == FV_REPLY_NOT_MINE)
        return FV_CONN_PYTHON;
    *consumed = request.head_length;
    count_reply(server, &reply, output.length - before + reply.file_length, &began);
    if (reply.file_length == 0)
        return output.length >= BATCH_MAX ? flush_batch(conn, &output, 0) : FV_CONN_WAIT;
    conn->file_volume = reply.volume;
    conn->file_offset = reply.file_offset;
    conn->file_left = reply.file_length;
    conn->file_unsure = reply.unsure;
    if (reply.mapped != NULL)
        return send_mapped(conn, &output, reply.mapped);
    int state = flush_batch(conn, &output, 1);
    return state == FV_CONN_WAIT ? send_file(conn) : state;
}

/* One request at bytes[0..]; PYTHON, COLD, WRITE, CLOSED, or WAIT with *consumed > 0 when answered
 * and 0 when incomplete. */
static int answer_one(fv_conn *conn, const uint8_t *bytes, size_t length, size_t *consumed)
{
    *consumed = 0;
    return bytes[0] == 'P' ? answer_upload(conn, bytes, length, consumed)
                           : answer_read(conn, bytes, length, consumed);
}

/* Answers what is complete in bytes[0..length), then sends and saves what is left. */
static int answer(fv_conn *conn, const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    int state = FV_CONN_WAIT;
    output.length = 0;
    while (at < length && state == FV_CONN_WAIT && conn->turn < TURN_MAX) {
        size_t consumed = 0;
        state = answer_one(conn, bytes + at, length - at, &consumed);
        at += consumed;
        if (consumed == 0)
            break;
    }
    int flushed = flush_batch(conn, &output, 0);
    if (save_input(conn, bytes + at, length - at) != 0)
        return FV_CONN_CLOSED;
    if (state == FV_CONN_WAIT && at < length && conn->turn >= TURN_MAX) {
        /* A writable socket brings the next turn. */
        conn->yielded = 1;
        state = FV_CONN_WRITE;
    }
    /* The request in progress keeps its deadline however slowly it drips in, in whosever hands. */
    if (state == FV_CONN_WAIT && at < length &&
        memmem(bytes + at, length - at, "\r\n\r\n", 4) == NULL) {
        if (conn->head_ms == 0 || at > 0)
            conn->head_ms = now_ms();
    } else if (state != FV_CONN_PYTHON || at > 0) {
        conn->head_ms = 0;
    }
    if (flushed == FV_CONN_CLOSED || state == FV_CONN_CLOSED)
        return FV_CONN_CLOSED;
    if (flushed == FV_CONN_WRITE)
        return FV_CONN_WRITE; /* what `state` says is found again once the socket has drained */
    if (state == FV_CONN_PYTHON)
        count(conn->loop->server, FV_COUNT_PYTHON, 1);
    return state;
}

static int on_readable(fv_conn *conn)
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
    conn->active_ms = now_ms();
    return answer(conn, input_buffer, length + (size_t)n);
}

/* Goes on with saved input after an answer was blocked or a cold read came in. */
static int go_on(fv_conn *conn)
{
    if (prepare_buffers(conn->loop->server) != 0)
        return FV_CONN_CLOSED;
    size_t length = conn->saved_length;
    if (length == 0)
        return FV_CONN_WAIT;
    assert(length <= INPUT_MAX);
    memcpy(input_buffer, conn->saved, length);
    return answer(conn, input_buffer, length);
}

static int on_writable(fv_conn *conn)
{
    if (conn->out != NULL) {
        size_t left = conn->out_length - conn->out_at;
        ssize_t sent = send_some(conn, conn->out + conn->out_at, left, conn->file_left > 0);
        if (sent < 0)
            return FV_CONN_CLOSED;
        conn->out_at += (size_t)sent;
        if (conn->out_at < conn->out_length)
            return FV_CONN_WRITE;
        free(conn->out);
        conn->out = NULL;
    }
    if (conn->file_left > 0) {
        int state = send_file(conn);
        if (state != FV_CONN_WAIT)
            return state;
    }
    conn->yielded = 0;
    return conn->job != NULL ? FV_CONN_COLD : go_on(conn);
}

static int on_cold_read_done(fv_conn *conn, int result)
{
    assert(conn->job == NULL);
    conn->active_ms = now_ms();
    if (conn->job_is_body) {
        conn->job_is_body = 0;
        return result == FV_OK ? on_writable(conn) : FV_CONN_CLOSED;
    }
    /* The answers before this one may still be on their way out. */
    if (conn->out != NULL || conn->file_left > 0)
        return FV_CONN_WRITE;
    return go_on(conn);
}

/* ---- events ----------------------------------------------------------------------------------- */

/* What epoll is to watch in a state; the event for Python, or 0. */
static int enter_state(fv_conn *conn, int state)
{
    switch (state) {
    case FV_CONN_WAIT:
        set_interest(conn, EPOLLIN);
        return 0;
    case FV_CONN_WRITE:
        set_interest(conn, EPOLLOUT);
        return 0;
    case FV_CONN_COLD:
        return 0;
    case FV_CONN_PYTHON:
        conn->held = 1;
        conn->wanted = 0;
        return FV_EVENT_PYTHON;
    default:
        conn->held = 1;
        conn->wanted = 0;
        return FV_EVENT_CLOSED;
    }
}

static int held_event(fv_conn *conn, unsigned reported)
{
    int what = 0;
    if ((conn->wanted & EPOLLIN) != 0 && (reported & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        what |= FV_EVENT_READABLE;
    if ((conn->wanted & EPOLLOUT) != 0 && (reported & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
        what |= FV_EVENT_WRITABLE;
    if (what == 0)
        mask_unwanted(conn, conn->wanted, reported);
    return what;
}

static int conn_event(fv_conn *conn, unsigned reported)
{
    if (conn->held)
        return held_event(conn, reported);
    conn->turn = 0;
    int sends = conn->out != NULL || conn->file_left > 0;
    if (conn->job != NULL && (conn->job_is_body || !sends)) {
        mask_unwanted(conn, 0, reported);
        return 0;
    }
    if (sends || conn->yielded)
        return enter_state(conn, on_writable(conn));
    return enter_state(conn, on_readable(conn));
}

static void note_warm(fv_conn *conn, const fv_job *job)
{
    int rounds = conn->warm.rounds;
    forget_warm(conn);
    conn->warm.volume = fv_volume_ref(job->cold.volume);
    conn->warm.verified = job->cold.verify && job->result == FV_OK;
    conn->warm.rounds = rounds + 1;
    /* A range that could not be read or does not check out: the complete read reports it. */
    conn->warm.offset = job->result == FV_OK ? job->cold.record_offset : UINT64_MAX;
}

/* Connections whose cold read has come in repeat their request. */
static size_t completion_events(fv_loop *loop, fv_event *out, size_t capacity)
{
    size_t found = 0;
    fv_job *job = fv_completions_take(&loop->completions);
    while (job != NULL && found < capacity) {
        fv_job *next = job->next;
        fv_conn *conn = job->owner;
        if (conn != NULL) {
            if (!conn->job_is_body)
                note_warm(conn, job);
            conn->job = NULL;
            conn->turn = 0;
            int what = enter_state(conn, on_cold_read_done(conn, job->result));
            if (what != 0)
                out[found++] = (fv_event){conn->token, what};
        }
        finish_job(loop, job);
        job = next;
    }
    fv_completions_return(&loop->completions, job);
    return found;
}

size_t fv_loop_poll(fv_loop *loop, fv_event *out)
{
    struct epoll_event ready[READY_MAX];
    size_t found = 0;
    int count = epoll_wait(loop->epoll_fd, ready, READY_MAX, 0);
    for (int i = 0; i < count; i++) {
        fv_conn *conn = ready[i].data.ptr;
        if (conn == NULL) {
            found += completion_events(loop, out + found, FV_EVENTS_MAX - READY_MAX);
            continue;
        }
        int what = conn_event(conn, ready[i].events);
        if (what != 0)
            out[found++] = (fv_event){conn->token, what};
    }
    assert(found <= FV_EVENTS_MAX);
    return found;
}

void fv_conn_watch(fv_conn *conn, int readable, int writable)
{
    assert(conn->held);
    conn->wanted = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    /* Wanting less is left to the next event that shows up; wanting more must be said now. */
    if ((conn->wanted & ~(conn->registered ? conn->watched : 0u)) != 0)
        set_interest(conn, conn->wanted);
}

int fv_conn_is_idle(fv_conn *conn)
{
    return !conn->held && conn->job == NULL && conn->out == NULL && conn->file_left == 0 &&
           conn->saved_length == 0;
}

int fv_conn_hold(fv_conn *conn)
{
    if (conn->held)
        return 1;
    if (conn->job != NULL || conn->out != NULL || conn->file_left > 0 || conn->yielded)
        return 0;
    conn->held = 1;
    conn->wanted = 0;
    return 1;
}

size_t fv_conn_pending(fv_conn *conn)
{
    return conn->saved_length;
}

size_t fv_conn_take(fv_conn *conn, uint8_t *out, size_t capacity)
{
    assert(capacity >= conn->saved_length);
    size_t length = conn->saved_length;
    if (length > 0)
        memcpy(out, conn->saved, length);
    save_input(conn, NULL, 0);
    return length;
}

int fv_conn_give(fv_conn *conn, const uint8_t *bytes, size_t length)
{
    assert(conn->held && conn->job == NULL && conn->out == NULL && conn->file_left == 0);
    assert(length <= INPUT_MAX);
    conn->active_ms = now_ms();
    conn->held = 0;
    conn->turn = 0;
    int state = FV_CONN_WAIT;
    if (length > 0) {
        if (prepare_buffers(conn->loop->server) != 0) {
            state = FV_CONN_CLOSED;
        } else {
            memcpy(input_buffer, bytes, length);
            state = answer(conn, input_buffer, length);
        }
    }
    enter_state(conn, state);
    return state;
}

void fv_conn_touch(fv_conn *conn)
{
    conn->active_ms = now_ms();
}

void fv_conn_set_head_pending(fv_conn *conn, int pending)
{
    if (!pending)
        conn->head_ms = 0;
    else if (conn->head_ms == 0)
        conn->head_ms = now_ms();
}

void fv_conn_set_busy(fv_conn *conn, int busy)
{
    conn->busy = busy;
    conn->active_ms = now_ms();
}
