/* One connection and its loop, from the inside; serve.h has the theory and what Python calls.
 *
 *   loop.c        waits for sockets and for the disk, and reports to Python
 *   connection.c  life, interest and states of one connection
 *   answering.c   from received bytes to answers
 *   sending.c     from answers to the socket */
#ifndef FASTVOL_CONNECTION_H
#define FASTVOL_CONNECTION_H

#include "output.h"
#include "pool.h"
#include "reply.h"
#include "server.h"

#include <sys/types.h>

#define INPUT_MAX FV_GIVE_MAX
/* What one connection may send before others get their turn. */
#define TURN_MAX (4u << 20)

struct fv_loop {
    fv_server *server;
    int epoll_fd;
    fv_conn *first;
    size_t count;
    fv_tally tally;
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
    uint64_t began_ns; /* when the request that waits for the disk came; 0 = none does */
};

int64_t fv_now_ms(void);

/* connection.c */
void fv_conn_forget_warm(fv_conn *conn);
void fv_conn_drop_file(fv_conn *conn);
/* Keeps bytes that are not consumed yet, which may lie in conn->saved; -1: no memory. */
int fv_conn_save_input(fv_conn *conn, const uint8_t *bytes, size_t length);
/* What epoll reported, or a finished disk read: the event for Python, or 0. */
int fv_conn_on_ready(fv_conn *conn, unsigned reported);
int fv_conn_on_job_done(fv_conn *conn, const fv_job *job);

/* answering.c; these give a FV_CONN_... state. */
int fv_conn_receive(fv_conn *conn);
/* Answers what is complete in bytes[0..length) and saves what is left. */
int fv_conn_answer(fv_conn *conn, const uint8_t *bytes, size_t length);

/* sending.c */
/* Bytes sent, or -1 when the connection is broken; less than `length` means that it is full. */
ssize_t fv_conn_send(fv_conn *conn, const uint8_t *bytes, size_t length, int more);
/* These give WAIT when everything is out, else WRITE, COLD or CLOSED. */
int fv_conn_flush(fv_conn *conn, fv_output *batch, int more);
int fv_conn_send_file(fv_conn *conn);
int fv_conn_send_mapped(fv_conn *conn, fv_output *batch, const uint8_t *body);
/* Hands a read to the I/O threads: COLD, or PYTHON when there is no memory. */
int fv_conn_submit(fv_conn *conn, const fv_cold *cold);

#endif
