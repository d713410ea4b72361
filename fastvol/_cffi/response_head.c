#include "response_head.h"

#include "server.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint32_t random32(void)
{
    static _Thread_local uint64_t state;
    if (state == 0) {
        if (getrandom(&state, sizeof state, 0) != sizeof state || state == 0)
            state = (uint64_t)time(NULL) * 0x9E3779B97F4A7C15ull + (uintptr_t)&state;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state * 0x2545F4914F6CDD1Dull >> 32);
}

static void put_hex(char *out, uint64_t value, int digits)
{
    static const char hex[] = "0123456789ABCDEF";
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = hex[value & 15];
        value >>= 4;
    }
}

void fv_request_id(char *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    put_hex(out, (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec, 16);
    put_hex(out + 16, random32(), 8);
}

size_t fv_http_date_text(int64_t second, char *out)
{
    return fv_http_date(second, out) ? 29 : 0;
}

static const char *current_date(void)
{
    static _Thread_local time_t cached_second;
    static _Thread_local char cached[29];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != cached_second) {
        fv_http_date(now.tv_sec, cached);
        cached_second = now.tv_sec;
    }
    return cached;
}

void fv_put_server_and_id(fv_output *out, const fv_server *server)
{
    char id[24];
    fv_request_id(id);
    FV_PUT(out, "Server: ");
    fv_put(out, server->server_header, server->server_header_length);
    FV_PUT(out, "\r\nX-Amz-Request-Id: ");
    fv_put(out, id, sizeof id);
    FV_PUT(out, "\r\n");
}

void fv_put_date(fv_output *out)
{
    FV_PUT(out, "Date: ");
    fv_put(out, current_date(), 29);
    FV_PUT(out, "\r\n");
}
