#include "connection.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

int64_t fv_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- life and interest ------------------------------------------------------------------------ */

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
    conn->active_ms = fv_now_ms();
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

void fv_conn_forget_warm(fv_conn *conn)
{
    if (conn->warm.volume != NULL)
        fv_volume_unref(conn->warm.volume);
    memset(&conn->warm, 0, sizeof conn->warm);
}

void fv_conn_drop_file(fv_conn *conn)
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
    fv_conn_drop_file(conn);
    fv_conn_forget_warm(conn);
    free(conn->saved);
    free(conn->out);
    free(conn);
}

int fv_conn_save_input(fv_conn *conn, const uint8_t *bytes, size_t length)
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

/* ---- what happens to it ----------------------------------------------------------------------- */

static int on_writable(fv_conn *conn)
{
    if (conn->out != NULL) {
        size_t left = conn->out_length - conn->out_at;
        ssize_t sent = fv_conn_send(conn, conn->out + conn->out_at, left, conn->file_left > 0);
        if (sent < 0)
            return FV_CONN_CLOSED;
        conn->out_at += (size_t)sent;
        if (conn->out_at < conn->out_length)
            return FV_CONN_WRITE;
        free(conn->out);
        conn->out = NULL;
    }
    if (conn->file_left > 0) {
        int state = fv_conn_send_file(conn);
        if (state != FV_CONN_WAIT)
            return state;
    }
    conn->yielded = 0;
    return conn->job != NULL ? FV_CONN_COLD : fv_conn_answer(conn, conn->saved, conn->saved_length);
}

static int on_cold_read_done(fv_conn *conn, int result)
{
    assert(conn->job == NULL);
    conn->active_ms = fv_now_ms();
    if (conn->job_is_body) {
        conn->job_is_body = 0;
        return result == FV_OK ? on_writable(conn) : FV_CONN_CLOSED;
    }
    /* The answers before this one may still be on their way out. */
    if (conn->out != NULL || conn->file_left > 0)
        return FV_CONN_WRITE;
    return fv_conn_answer(conn, conn->saved, conn->saved_length);
}

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

int fv_conn_on_ready(fv_conn *conn, unsigned reported)
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
    return enter_state(conn, fv_conn_receive(conn));
}

static void note_warm(fv_conn *conn, const fv_job *job)
{
    int rounds = conn->warm.rounds;
    fv_conn_forget_warm(conn);
    conn->warm.volume = fv_volume_ref(job->cold.volume);
    conn->warm.verified = job->cold.verify && job->result == FV_OK;
    conn->warm.rounds = rounds + 1;
    /* A range that could not be read or does not check out: the complete read reports it. */
    conn->warm.offset = job->result == FV_OK ? job->cold.record_offset : UINT64_MAX;
}

int fv_conn_on_job_done(fv_conn *conn, const fv_job *job)
{
    if (!conn->job_is_body)
        note_warm(conn, job);
    conn->job = NULL;
    conn->turn = 0;
    return enter_state(conn, on_cold_read_done(conn, job->result));
}

/* ---- what Python asks of it ------------------------------------------------------------------- */

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
    fv_conn_save_input(conn, NULL, 0);
    return length;
}

int fv_conn_give(fv_conn *conn, const uint8_t *bytes, size_t length)
{
    assert(conn->held && conn->job == NULL && conn->out == NULL && conn->file_left == 0);
    assert(length <= INPUT_MAX);
    conn->active_ms = fv_now_ms();
    conn->held = 0;
    conn->turn = 0;
    int state = fv_conn_answer(conn, bytes, length);
    enter_state(conn, state);
    return state;
}

void fv_conn_touch(fv_conn *conn)
{
    conn->active_ms = fv_now_ms();
}

void fv_conn_set_head_pending(fv_conn *conn, int pending)
{
    if (!pending)
        conn->head_ms = 0;
    else if (conn->head_ms == 0)
        conn->head_ms = fv_now_ms();
}

void fv_conn_set_busy(fv_conn *conn, int busy)
{
    conn->busy = busy;
    conn->active_ms = fv_now_ms();
}
