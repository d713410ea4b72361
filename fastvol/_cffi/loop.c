#include "connection.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define READY_MAX 128

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
    fv_server_add_tally(server, &loop->tally);
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
    fv_server_remove_tally(loop->server, &loop->tally);
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
    int64_t now = fv_now_ms();
    for (fv_conn *conn = loop->first; conn != NULL && found < capacity; conn = conn->next) {
        if (conn->busy || conn->job != NULL)
            continue;
        if (now - conn->active_ms >= idle_ms ||
            (conn->head_ms != 0 && now - conn->head_ms >= head_ms))
            tokens[found++] = conn->token;
    }
    return found;
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
            int what = fv_conn_on_job_done(conn, job);
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
        int what = fv_conn_on_ready(conn, ready[i].events);
        if (what != 0)
            out[found++] = (fv_event){conn->token, what};
    }
    assert(found <= FV_EVENTS_MAX);
    return found;
}
