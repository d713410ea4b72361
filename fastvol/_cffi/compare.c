#include "compare.h"

#include "bytes.h"
#include "crc32c.h"
#include "file_bytes.h"
#include "needle.h"
#include "volume.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 1024
#define CHECKSUM_BYTES 4
/* A record up to this size is read at once up to its checksum. */
#define READ_ONCE 4096

typedef struct {
    fv_replica replica;
    fv_entry entries[ENTRIES];
    size_t at;
    size_t count;
    uint64_t next; /* id to go on with */
    int ended;     /* `entries` are the last ones */
} side;

struct fv_compare {
    side sides[2];
    uint64_t counts[FV_COMPARE_KINDS];
};

/* The live entry that is next, or NULL. */
static const fv_entry *peek(side *s)
{
    for (;;) {
        while (s->at < s->count && s->entries[s->at].size < 0)
            s->at++;
        if (s->at < s->count)
            return s->entries + s->at;
        if (s->ended)
            return NULL;
        s->count = fv_map_scan(s->replica.map, s->next, s->entries, ENTRIES);
        s->at = 0;
        s->ended = s->count < ENTRIES || s->entries[s->count - 1].id == UINT64_MAX;
        if (!s->ended)
            s->next = s->entries[s->count - 1].id + 1;
    }
}

/* Cookie and checksum of the record behind an entry, into place `which` of `out`. */
static void look(const side *s, const fv_entry *entry, int which, fv_difference *out)
{
    uint8_t bytes[READ_ONCE];
    uint64_t offset = entry->offset * 8;
    size_t to_checksum = FV_NEEDLE_HEADER + (size_t)entry->size;
    const uint8_t *checksum = bytes + FV_NEEDLE_HEADER;
    int code;
    if (to_checksum + CHECKSUM_BYTES <= READ_ONCE) {
        code = fv_read_exactly(s->replica.dat_fd, bytes, to_checksum + CHECKSUM_BYTES, offset);
        checksum = bytes + to_checksum;
    } else {
        code = fv_read_exactly(s->replica.dat_fd, bytes, FV_NEEDLE_HEADER, offset);
        if (code == FV_OK)
            code = fv_read_exactly(s->replica.dat_fd, bytes + FV_NEEDLE_HEADER, CHECKSUM_BYTES,
                                   offset + to_checksum);
    }
    out->size[which] = entry->size;
    if (code == FV_OK) {
        fv_needle header;
        fv_needle_parse_header(bytes, &header);
        out->cookie[which] = header.cookie;
        out->checksum[which] = fv_load_be32(checksum);
        if (header.size != entry->size)
            code = FV_NEEDLE_SIZE_MISMATCH;
        else if (header.id != entry->id)
            code = FV_NOT_FOUND;
    } else if (code == FV_IO_ERROR) {
        out->sys_errno[which] = errno;
    }
    out->code[which] = code;
}

/* Servers before 3.09 stored another form. */
static int same_checksum(uint32_t a, uint32_t b)
{
    return a == b || fv_crc32c_legacy(a) == b || a == fv_crc32c_legacy(b);
}

static int judge(const fv_compare *compare, const fv_difference *found)
{
    int version_a = compare->sides[0].replica.version, version_b = compare->sides[1].replica.version;
    if (found->code[0] != FV_OK || found->code[1] != FV_OK)
        return FV_COMPARE_UNREADABLE;
    if (found->cookie[0] != found->cookie[1])
        return FV_COMPARE_COOKIE;
    /* The bodies of version 1 hold nothing but the payload. */
    if ((version_a == 1) == (version_b == 1) && found->size[0] != found->size[1])
        return FV_COMPARE_SIZE;
    /* Of nothing there is no checksum. */
    if (found->size[0] == 0 && found->size[1] == 0)
        return FV_COMPARE_EQUAL;
    return same_checksum(found->checksum[0], found->checksum[1]) ? FV_COMPARE_EQUAL
                                                                 : FV_COMPARE_CHECKSUM;
}

static void compare_next(fv_compare *compare, const fv_entry *a, const fv_entry *b,
                         fv_difference *found)
{
    memset(found, 0, sizeof *found);
    int has_a = a != NULL && (b == NULL || a->id <= b->id);
    int has_b = b != NULL && (a == NULL || b->id <= a->id);
    found->id = has_a ? a->id : b->id;
    if (has_a && has_b) {
        look(&compare->sides[0], a, 0, found);
        look(&compare->sides[1], b, 1, found);
        found->kind = judge(compare, found);
    } else {
        found->kind = has_a ? FV_COMPARE_ONLY_A : FV_COMPARE_ONLY_B;
        found->size[has_b] = has_a ? a->size : b->size;
    }
    compare->sides[0].at += (size_t)has_a;
    compare->sides[1].at += (size_t)has_b;
    compare->counts[found->kind]++;
}

fv_compare *fv_compare_new(const fv_replica *a, const fv_replica *b)
{
    fv_compare *compare = calloc(1, sizeof *compare);
    if (compare == NULL)
        return NULL;
    compare->sides[0].replica = *a;
    compare->sides[1].replica = *b;
    return compare;
}

void fv_compare_free(fv_compare *compare)
{
    free(compare);
}

int fv_compare_step(fv_compare *compare, uint64_t needles, fv_difference *out, size_t capacity,
                    size_t *count)
{
    *count = 0;
    for (uint64_t done = 0; done < needles; done++) {
        fv_difference found;
        const fv_entry *a = peek(&compare->sides[0]), *b = peek(&compare->sides[1]);
        if (a == NULL && b == NULL)
            return 0;
        compare_next(compare, a, b, &found);
        if (found.kind == FV_COMPARE_EQUAL || capacity == 0)
            continue;
        out[(*count)++] = found;
        if (*count == capacity)
            break;
    }
    return peek(&compare->sides[0]) != NULL || peek(&compare->sides[1]) != NULL;
}

void fv_compare_counts(const fv_compare *compare, uint64_t counts[FV_COMPARE_KINDS])
{
    memcpy(counts, compare->counts, sizeof compare->counts);
}
