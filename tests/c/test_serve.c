/* Connections driven through socket pairs: whatever comes in and whoever leaves, every answer is
 * whole and in order, and nothing is left behind. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "records.h"

#define CONNECTIONS 24
#define SMALL 1000u
#define LARGE 60000u
#define HUGE_SIZE (3u << 20)

typedef struct {
    fv_conn *conn;
    int ours;
    int theirs;
    size_t received;  /* at the client */
    int python;       /* events of this kind */
    int closed;
} client;

typedef struct {
    fv_server *server;
    fv_volume *volume;
    fv_loop *loop;
    client clients[CONNECTIONS];
    uint8_t *inbox;
} world;

static uint8_t huge_data[HUGE_SIZE];

static void put_needle(fv_volume *volume, uint64_t id, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        huge_data[i] = (uint8_t)(id + i * 31);
    fv_needle needle = {.id = id, .cookie = 0x1234, .data = huge_data, .data_size = size,
                        .flags = FV_NEEDLE_HAS_NAME, .name = (const uint8_t *)"n", .name_size = 1};
    needle.checksum = fv_crc32c(0, huge_data, size);
    fv_write_result out;
    CHECK(fv_volume_write(volume, &needle, 1, 0, &out) == FV_OK);
}

static int disk_file(void)
{
    char name[] = "/tmp/fastvol-serve-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0 && unlink(name) == 0);
    return fd;
}

static void set_up(world *w, int on_disk)
{
    fv_server_options options = {.server_header = "test", .copy_max = 16384, .map_max = 32768,
                                 .inline_verify_max = 1 << 20, .upload_max = 1 << 20,
                                 .io_threads = 3};
    memset(w, 0, sizeof *w);
    w->server = fv_server_new(&options);
    w->loop = fv_loop_new(w->server);
    w->inbox = malloc(1 << 20);
    int dat = on_disk ? disk_file() : empty_file();
    uint8_t head[8] = {3};
    append_bytes(dat, head, sizeof head);
    fv_volume_spec spec = {.id = 7, .version = 3, .offset_width = 5, .dat_fd = dat,
                           .idx_fd = empty_file(), .dat_size = 8};
    fv_counters counters = {0};
    w->volume = fv_volume_new(&spec, fv_map_new(), &counters);
    CHECK(w->server != NULL && w->loop != NULL && w->volume != NULL && w->inbox != NULL);
    put_needle(w->volume, 1, SMALL);
    put_needle(w->volume, 2, LARGE);
    put_needle(w->volume, 3, HUGE_SIZE);
    CHECK(fv_server_put_volume(w->server, 7, w->volume) == 0);
}

static void leave(client *c)
{
    if (c->conn != NULL) {
        fv_conn_free(c->conn);
        close(c->ours);
    }
    c->conn = NULL;
}

static void tear_down(world *w)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        leave(&w->clients[i]);
        if (w->clients[i].theirs > 0)
            close(w->clients[i].theirs);
    }
    CHECK(fv_loop_connections(w->loop) == 0);
    fv_loop_free(w->loop);
    fv_server_free(w->server);
    fv_volume_unref(w->volume);
    free(w->inbox);
}

static client *enter(world *w, int at)
{
    int pair[2];
    int small = 4096;
    client *c = &w->clients[at];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    *c = (client){.ours = pair[0], .theirs = pair[1]};
    c->conn = fv_conn_new(w->loop, pair[0], (uint64_t)at, 0);
    CHECK(c->conn != NULL);
    return c;
}

static void say(client *c, const char *text)
{
    CHECK(send(c->theirs, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void rest_a_moment(void)
{
    struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

static void take_in(world *w, client *c)
{
    ssize_t n = recv(c->theirs, w->inbox + c->received, (1 << 20) - c->received, 0);
    c->received += n > 0 ? (size_t)n : 0;
}

static void send_from_python(world *w, client *c)
{
    while (send(c->ours, "PYTHON\n", 7, MSG_NOSIGNAL) != 7 && errno == EAGAIN && c->theirs > 0)
        take_in(w, c);
}

/* Python's part: it answers one request of its own and gives the rest back. */
static void answer_in_python(world *w, client *c)
{
    uint8_t bytes[65536];
    c->python++;
    for (;;) {
        size_t length = fv_conn_take(c->conn, bytes, sizeof bytes);
        uint8_t *end = memmem(bytes, length, "\r\n\r\n", 4);
        if (end == NULL) {
            c->closed = 1;
            leave(c);
            return;
        }
        send_from_python(w, c);
        size_t used = (size_t)(end + 4 - bytes);
        int state = fv_conn_give(c->conn, bytes + used, length - used);
        if (state == FV_CONN_CLOSED) {
            c->closed = 1;
            leave(c);
        }
        if (state != FV_CONN_PYTHON)
            return;
    }
}

static void poll_once(world *w)
{
    fv_event events[FV_EVENTS_MAX];
    size_t count = fv_loop_poll(w->loop, events);
    for (size_t i = 0; i < count; i++) {
        client *c = &w->clients[events[i].token];
        if (c->conn == NULL)
            continue;
        if ((events[i].what & FV_EVENT_CLOSED) != 0) {
            c->closed = 1;
            leave(c);
        } else {
            CHECK(events[i].what == FV_EVENT_PYTHON);
            answer_in_python(w, c);
        }
    }
}

/* Receives until `wanted` bytes have come, or for long enough that they should have. */
static void receive(world *w, client *c, size_t wanted)
{
    for (int quiet = 0; c->received < wanted && quiet < 3000; quiet++) {
        size_t before = c->received;
        poll_once(w);
        take_in(w, c);
        if (c->received > before) {
            quiet = 0;
        } else {
            rest_a_moment();
        }
    }
    CHECK(c->received == wanted);
}

#define GET(id) "GET /7," id "00001234 HTTP/1.1\r\nHost: a\r\n\r\n"

static size_t answer_size(world *w, int at, const char *request)
{
    client *c = enter(w, at);
    say(c, request);
    uint8_t byte;
    for (int i = 0; i < 3000 && recv(c->theirs, &byte, 1, MSG_PEEK) != 1; i++) {
        poll_once(w);
        rest_a_moment();
    }
    for (int quiet = 0; quiet < 20; quiet++) {
        poll_once(w);
        size_t before = c->received;
        take_in(w, c);
        if (c->received > before)
            quiet = 0;
    }
    size_t size = c->received;
    leave(c);
    close(c->theirs);
    c->theirs = 0;
    return size;
}

void test_serve_answers_any_pipeline_in_order(void)
{
    world w;
    set_up(&w, 0);
    static const char *const requests[] = {GET("1"), GET("2"), "PATCH / HTTP/1.1\r\n\r\n", GET("9"),
                                           "HEAD /7,100001234 HTTP/1.1\r\nHost: a\r\n\r\n"};
    size_t sizes[5];
    for (int i = 0; i < 5; i++)
        sizes[i] = answer_size(&w, 0, requests[i]);
    CHECK(sizes[0] > SMALL && sizes[1] > LARGE && sizes[2] == 7 && sizes[3] == 7);
    unsigned long long state = 3;
    for (int round = 0; round < 60; round++) {
        client *c = enter(&w, round % CONNECTIONS);
        char stream[4096] = "";
        size_t wanted = 0;
        for (int i = 0; i < 12; i++) {
            size_t pick = (size_t)(next_random(&state) % 5);
            strcat(stream, requests[pick]);
            wanted += sizes[pick];
        }
        for (size_t at = 0; at < strlen(stream);) {
            size_t piece = 1 + (size_t)(next_random(&state) % 200);
            if (piece > strlen(stream) - at)
                piece = strlen(stream) - at;
            CHECK(send(c->theirs, stream + at, piece, MSG_NOSIGNAL) == (ssize_t)piece);
            at += piece;
            poll_once(&w);
        }
        receive(&w, c, wanted);
        CHECK(fv_conn_is_idle(c->conn) && fv_conn_pending(c->conn) == 0);
        leave(c);
        close(c->theirs);
        c->theirs = 0;
    }
    tear_down(&w);
}

void test_serve_lets_vanished_clients_go(void)
{
    world w;
    set_up(&w, 0);
    static const char *const requests[] = {GET("3") GET("1"), GET("2") GET("2") "GET /7,1",
                                           "GET /7", GET("9"), "P", ""};
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < CONNECTIONS; i++)
            say(enter(&w, i), requests[(i + round) % 6]);
        poll_once(&w);
        for (int i = 0; i < CONNECTIONS; i++) {
            if (i % 3 == 0)
                leave(&w.clients[i]); /* we close first, answers half sent or not */
            close(w.clients[i].theirs);
            w.clients[i].theirs = 0;
        }
        /* Those whose payload is being checked by an I/O thread are heard of when it is done. */
        for (int i = 0; i < 3000 && fv_loop_connections(w.loop) > 0; i++) {
            poll_once(&w);
            rest_a_moment();
        }
        CHECK(fv_loop_connections(w.loop) == 0);
    }
    tear_down(&w);
}

void test_serve_cold_reads(void)
{
    world w;
    set_up(&w, 1);
    int on_index;
    CHECK(fv_volume_sync(w.volume, &on_index) == 0);
    static const char range[] =
        "GET /7,300001234 HTTP/1.1\r\nHost: a\r\nRange: bytes=1000-900999\r\n\r\n";
    size_t small = answer_size(&w, 0, GET("1")), ranged = answer_size(&w, 0, range);
    for (int round = 0; round < 6; round++) {
        posix_fadvise(fv_volume_dat_fd(w.volume), 0, 0, POSIX_FADV_DONTNEED);
        for (int i = 0; i < CONNECTIONS; i++)
            say(enter(&w, i), i % 4 == 3 ? range : i % 4 == 2 ? GET("2") GET("1") : GET("1"));
        poll_once(&w);
        for (int i = 1; i < CONNECTIONS; i += 2)
            leave(&w.clients[i]); /* while the disk is at work for some of them */
        for (int i = 0; i < CONNECTIONS; i += 4)
            receive(&w, &w.clients[i], small);
        if (round % 2 == 0) {
            close(w.clients[1].theirs);
            client *c = enter(&w, 1);
            say(c, range);
            receive(&w, c, ranged);
            uint8_t *body = memmem(w.inbox, c->received, "\r\n\r\n", 4);
            CHECK(body != NULL && w.inbox + c->received == body + 4 + 900000);
            for (uint32_t i = 0; i < 900000; i++)
                CHECK(body[4 + i] == (uint8_t)(3 + (i + 1000) * 31));
        }
        for (int i = 0; i < CONNECTIONS; i++) {
            leave(&w.clients[i]);
            close(w.clients[i].theirs);
            w.clients[i].theirs = 0;
        }
    }
    /* The end comes while reads are out. */
    posix_fadvise(fv_volume_dat_fd(w.volume), 0, 0, POSIX_FADV_DONTNEED);
    for (int i = 0; i < CONNECTIONS; i++)
        say(enter(&w, i), GET("3"));
    poll_once(&w);
    tear_down(&w);
}

void test_serve_expiry_and_hold(void)
{
    world w;
    uint64_t tokens[CONNECTIONS];
    uint8_t bytes[64];
    set_up(&w, 0);
    say(enter(&w, 0), "GET /7,1");
    enter(&w, 1);
    for (int i = 0; i < 40; i++)
        say(&w.clients[1], GET("2"));
    say(&w.clients[1], "GET /7");
    enter(&w, 2);
    poll_once(&w);
    CHECK(fv_loop_expired(w.loop, 60000, 60000, tokens, CONNECTIONS) == 0);
    CHECK(fv_loop_expired(w.loop, 60000, 0, tokens, CONNECTIONS) == 1 && tokens[0] == 0);
    CHECK(fv_loop_expired(w.loop, 0, 60000, tokens, CONNECTIONS) == 3);
    CHECK(fv_loop_expired(w.loop, 0, 60000, tokens, 2) == 2);
    CHECK(fv_conn_hold(w.clients[0].conn) && fv_conn_pending(w.clients[0].conn) == 8);
    CHECK(fv_conn_take(w.clients[0].conn, bytes, sizeof bytes) == 8);
    /* The head's deadline runs on in other hands, and is not renewed by what drips in. */
    fv_conn_set_head_pending(w.clients[0].conn, 1);
    CHECK(fv_loop_expired(w.loop, 60000, 0, tokens, CONNECTIONS) == 1);
    fv_conn_set_head_pending(w.clients[0].conn, 0);
    CHECK(fv_loop_expired(w.loop, 60000, 0, tokens, CONNECTIONS) == 0);
    CHECK(!fv_conn_hold(w.clients[1].conn)); /* in the middle of an answer */
    CHECK(fv_conn_hold(w.clients[2].conn) && fv_conn_take(w.clients[2].conn, bytes, 64) == 0);
    fv_conn_set_busy(w.clients[2].conn, 1);
    CHECK(fv_loop_expired(w.loop, 0, 60000, tokens, CONNECTIONS) == 2);
    fv_conn_watch(w.clients[2].conn, 1, 1);
    fv_event events[FV_EVENTS_MAX];
    CHECK(fv_loop_poll(w.loop, events) >= 1);
    tear_down(&w);
}

void test_serve_survives_any_bytes(void)
{
    world w;
    set_up(&w, 0);
    static const char good[] =
        GET("1") "GET /7,200001234 HTTP/1.1\r\nHost: a\r\nRange: bytes=5-10\r\n"
        "If-None-Match: \"00000000\"\r\n\r\nPOST /7,900001234 HTTP/1.1\r\nHost: a\r\n"
        "Content-Length: 67\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
        "--b\r\nContent-Disposition: form-data; filename=f\r\n\r\n\x01" "23\r\n--b--\r\n" GET("1");
    unsigned long long state = 9;
    for (int round = 0; round < 3000; round++) {
        char bytes[sizeof good];
        client *c = enter(&w, 0);
        memcpy(bytes, good, sizeof good);
        for (int i = 0; i < 3; i++)
            bytes[next_random(&state) % (sizeof good - 1)] = (char)next_random(&state);
        CHECK(send(c->theirs, bytes, sizeof good - 1, MSG_NOSIGNAL) == (ssize_t)sizeof good - 1);
        for (int i = 0; i < 4; i++) {
            poll_once(&w);
            while (recv(c->theirs, w.inbox, 1 << 20, 0) > 0)
                ;
        }
        leave(c);
        close(c->theirs);
        c->theirs = 0;
    }
    tear_down(&w);
}
