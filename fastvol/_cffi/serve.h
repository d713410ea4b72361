/* The fast read and the fast write: one call answers all that has come in.
 *
 * fv_server holds what all threads share: the volumes by id, the options, the counters.
 * fv_loop belongs to one event loop: its connections, its epoll instance, and the cold reads that it
 * waits for.
 * fv_conn is one plain-HTTP connection on a raw non-blocking socket.
 *
 * The event loop above watches a single descriptor, that of the epoll instance.  When it is readable,
 * one call of fv_loop_poll receives, answers and sends for every connection that is ready, and reports
 * only those that need Python.  A connection in this module's hands is always in one of these states:
 *
 *   WAIT    everything received is answered, or the last request is incomplete: wait for input
 *   WRITE   the socket is full (or its turn is over): wait until it is writable
 *   COLD    a request waits for the disk: its I/O thread will raise the completion event
 *   PYTHON  the next bytes are outside the small grammar: they are Python's (fv_conn_take), and so is
 *           the connection until fv_conn_give
 *   CLOSED  the peer is gone, or nothing more can be sent: close it
 *
 * While Python holds a connection, only the readiness that it asked for (fv_conn_watch) is reported.
 * Interest is taken back lazily: what is not wanted is masked when it first shows up, so that the
 * usual request costs no registration at all.
 *
 * The response bytes are the same that the complete handlers write (the date and the request id
 * aside); where this code is not sure that they are, it says PYTHON. */
#ifndef FASTVOL_SERVE_H
#define FASTVOL_SERVE_H

#include "volume.h"

/* cffi:begin */
typedef struct fv_server fv_server;
typedef struct fv_loop fv_loop;
typedef struct fv_conn fv_conn;

#define FV_CONN_WAIT 0
#define FV_CONN_WRITE 1
#define FV_CONN_COLD 2
#define FV_CONN_PYTHON 3
#define FV_CONN_CLOSED 4

#define FV_COUNT_GET_200 0
#define FV_COUNT_GET_206 1
#define FV_COUNT_GET_304 2
#define FV_COUNT_HEAD_200 3
#define FV_COUNT_HEAD_304 4
#define FV_COUNT_BYTES 5
#define FV_COUNT_COLD 6
#define FV_COUNT_PYTHON 7
#define FV_COUNT_POST_201 8
#define FV_COUNT_POST_204 9
#define FV_COUNT_RECEIVED 10   /* bytes of payloads stored */
#define FV_COUNT_DURATIONS 11  /* here FV_DURATIONS histograms of FV_DURATION_SLOTS begin */
#define FV_COUNTS 115

/* How long a request took: from the moment its bytes were taken from the socket until its answer was
 * made, waiting for the disk included and sending left out. */
#define FV_DURATION_GET 0
#define FV_DURATION_HEAD 1
#define FV_DURATION_POST 2
#define FV_DURATION_APPEND 3 /* the part of a POST in which the volume took it */
#define FV_DURATIONS 4
#define FV_DURATION_BUCKETS 24 /* up to 0.1 ms * 2^k each */
#define FV_DURATION_SLOTS 26   /* the buckets, what is above them, and the sum in ns */

typedef struct {
    const char *server_header; /* value of the Server header */
    uint32_t copy_max; /* body sizes up to this are read whole and sent from that copy */
    uint32_t map_max;  /* payloads up to this are sent from the mapping, larger by sendfile */
    uint32_t inline_verify_max; /* larger payloads are checked by the I/O threads */
    uint32_t upload_max;       /* largest payload of an upload */
    int verify_once;
    int io_threads;
} fv_server_options;

fv_server *fv_server_new(const fv_server_options *options);
void fv_server_free(fv_server *server);
/* Type by file extension (with its dot): `lower` = 0 for the exact table, 1 for the lower-case one. */
int fv_server_add_mime(fv_server *server, int lower, const char *extension, const char *type);
/* Off: every read, or every upload, is PYTHON. */
void fv_server_set_fast_read(fv_server *server, int on);
void fv_server_set_fast_write(fv_server *server, int on);
/* The table holds a reference of its own; a put replaces. 0 or -1 out of memory. */
int fv_server_put_volume(fv_server *server, uint32_t id, fv_volume *volume);
void fv_server_drop_volume(fv_server *server, uint32_t id);
/* out[FV_COUNTS], by any thread: what all loops have counted, those that are gone included. */
void fv_server_counts(fv_server *server, uint64_t *out);

#define FV_EVENT_PYTHON 1   /* the connection is Python's now */
#define FV_EVENT_CLOSED 2   /* close it */
#define FV_EVENT_READABLE 4 /* as watched; also when the peer is gone */
#define FV_EVENT_WRITABLE 8

typedef struct {
    uint64_t token;
    int what; /* FV_EVENT_...; readable and writable may come together */
} fv_event;

#define FV_EVENTS_MAX 256 /* capacity that fv_loop_poll needs */

fv_loop *fv_loop_new(fv_server *server);
void fv_loop_free(fv_loop *loop); /* all its connections must be closed */
/* Readable when fv_loop_poll has something to do. */
int fv_loop_fd(fv_loop *loop);
/* Does what there is to do without waiting; events for Python go to out[FV_EVENTS_MAX]. */
size_t fv_loop_poll(fv_loop *loop, fv_event *out);
/* Tokens of connections without any traffic for idle_ms, or with a head unfinished for head_ms. */
size_t fv_loop_expired(fv_loop *loop, int64_t idle_ms, int64_t head_ms, uint64_t *tokens,
                       size_t capacity);
size_t fv_loop_connections(fv_loop *loop);

/* The descriptor stays the caller's, and is closed after fv_conn_free. NULL: no memory, or epoll
 * refuses the descriptor.  Uploads of a `public` connection are Python's, which ignores them. */
fv_conn *fv_conn_new(fv_loop *loop, int fd, uint64_t token, int is_public);
void fv_conn_free(fv_conn *conn);
/* Which readiness Python wants to hear of while it holds the connection. */
void fv_conn_watch(fv_conn *conn, int readable, int writable);
/* Nothing is received, waited for or to be sent. */
int fv_conn_is_idle(fv_conn *conn);
/* Makes the connection Python's in the middle of a request: 1, or 0 when answers are still on their
 * way out or waiting for the disk. */
int fv_conn_hold(fv_conn *conn);
/* Bytes not consumed yet: how many, and a copy that empties the connection's own store. */
size_t fv_conn_pending(fv_conn *conn);
size_t fv_conn_take(fv_conn *conn, uint8_t *out, size_t capacity);
/* Gives the connection back with bytes behind the answered request (possibly none), at most
 * FV_GIVE_MAX.  PYTHON: they are Python's again; CLOSED: close it; else it is this module's. */
#define FV_GIVE_MAX 163840
int fv_conn_give(fv_conn *conn, const uint8_t *bytes, size_t length);
/* Traffic that did not go through this module. */
void fv_conn_touch(fv_conn *conn);
/* An unfinished head is in the caller's hands: its deadline runs from now, if it does not run yet. */
void fv_conn_set_head_pending(fv_conn *conn, int pending);
/* A busy connection (its handler is at work) does not expire. */
void fv_conn_set_busy(fv_conn *conn, int busy);

/* The same formatting for the complete handlers. */
void fv_request_id(char *out); /* 24 characters, no NUL */
size_t fv_http_date_text(int64_t second, char *out); /* 29 characters, no NUL; 0 = out of range */
/* cffi:end */

#endif
