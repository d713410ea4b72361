/* One open volume: its two files, its map, its append position.
 *
 * Readers take no lock that a writer holds during I/O: they look the id up in the map and read bytes
 * that never change afterwards.  Writers (append, delete) hold `write_lock`, and so does whoever
 * changes the flags: once that returns, no writer that saw the old ones is still under way.
 * A volume is reference counted, so that whoever is sending from it keeps its files open while an
 * unmount or a vacuum replaces it; `fv_volume_seal` ends its writes before that.
 *
 * A vacuum pauses the writers for its last steps: they wait, and are then either resumed or told that
 * this object is sealed and that there is another one.
 *
 * An append that fails is undone by cutting both files back.  When even that fails, the files no
 * longer end where we think they do, and the volume takes no append until it is opened anew.  So it
 * is when a map does not take the change: what it holds for that needle is not known then.
 *
 * The data of a volume may be elsewhere, in an object store.  Then `dat_fd` is an empty file, so that
 * whoever reads it by mistake finds its end and no wrong bytes; dat_size is that of the data; nothing
 * can be appended but deletions, and these only write a row without a position. */
#ifndef FASTVOL_VOLUME_H
#define FASTVOL_VOLUME_H

#include "compact_map.h"
#include "needle.h"

/* cffi:begin */
typedef struct fv_volume fv_volume;

/* Results below the needle faults of needle.h (-1 .. -4). */
#define FV_OK 0
#define FV_NOT_FOUND -10
#define FV_DELETED -11
#define FV_COLD -12      /* not in the page cache or in a slow map, and the caller must not wait */
#define FV_IO_ERROR -13  /* sys_errno says which */
#define FV_CLOSED -14    /* sealed: this object takes no more appends */
#define FV_BAD_COOKIE -15
#define FV_OVERFLOW -16  /* beyond what the offset width can address */
#define FV_NO_MEMORY -17
#define FV_BUSY -19      /* another writer holds the lock, and the caller must not wait */
#define FV_READ_ONLY -20
#define FV_BAD_META -21  /* metadata length out of bounds */
#define FV_WRONG_ID -23  /* the record is that of another needle: fault.found_id */
#define FV_BAD_NEEDLE -22 /* a field is longer than a record can hold */

#define FV_READ_DELETED 1  /* a deleted needle whose size is still known is read */
#define FV_READ_META 2     /* leave the payload of v2/v3 records out of the buffer */
#define FV_READ_NOWAIT 4   /* FV_COLD rather than wait for the disk */

/* Volume flags (fv_volume_set_flags). */
#define FV_VOLUME_NO_WRITE 1
#define FV_VOLUME_NO_DELETE 2
#define FV_VOLUME_NO_FAST_READ 4
#define FV_VOLUME_REPLICATED 8 /* changes must be forwarded to other servers */

typedef struct {
    uint32_t id;
    int version;
    int offset_width;
    int dat_fd; /* owned from here on */
    int idx_fd; /* owned; -1 when the index is not writable */
    uint64_t dat_size;
    uint64_t idx_size;
    uint64_t last_append_ns;
    int64_t modified_second;
    uint64_t last_modified_second;
    uint8_t ttl[2];
    int dat_is_elsewhere; /* see above */
} fv_volume_spec;

typedef struct {
    uint64_t dat_size;
    uint64_t idx_size;
    uint64_t last_append_ns;
    int64_t modified_second;      /* of the data file: at open, then each extending write */
    uint64_t last_modified_second; /* at open, then the largest last-modified written */
    fv_counters counters;
    uint64_t map_memory;
    uint64_t map_count;
} fv_volume_stat;

typedef struct {
    fv_needle needle;     /* pointers lie in `buffer` */
    uint64_t offset;      /* of the record, in bytes */
    uint64_t data_offset; /* of the payload in the data file */
    uint8_t *buffer;
    size_t buffer_size;
    int meta_only;
    int sys_errno;
    int failed_on_map;    /* FV_IO_ERROR came from the needle map */
    int64_t got;          /* bytes that a short read returned */
    fv_fault fault;
} fv_read;

typedef struct {
    uint64_t offset;     /* of the new record; of the tombstone for deletes */
    int32_t size;        /* body size written; of the deleted needle for deletes */
    uint32_t old_data_size;
    int unchanged;
    int sys_errno;
    int failed_on_index; /* the failing write was that of the row */
    int failed_on_read;  /* the header of the stored needle could not be read */
    int failed_on_map;   /* the needle map could not be read or changed */
    int rollback_failed; /* now or earlier an append could not be undone (see above) */
    uint64_t limit;      /* FV_OVERFLOW: the largest volume size */
    uint64_t append_at_ns;
} fv_write_result;

/* Takes ownership of the map and both descriptors, also when it fails (NULL: out of memory). */
fv_volume *fv_volume_new(const fv_volume_spec *spec, fv_map *map, const fv_counters *counters);
fv_volume *fv_volume_ref(fv_volume *volume);
void fv_volume_unref(fv_volume *volume);
void fv_volume_get_stat(fv_volume *volume, fv_volume_stat *out);
/* Waits for the append under way, so that none that the new flags forbid comes after it. */
void fv_volume_set_flags(fv_volume *volume, unsigned flags);
/* Waits for the append under way; every later one gives FV_CLOSED.  Reads go on. */
void fv_volume_seal(fv_volume *volume);
/* Waits for the append under way; later ones wait (nowait: FV_BUSY) until fv_volume_resume or
 * fv_volume_seal.  Not nested. */
void fv_volume_pause(fv_volume *volume);
void fv_volume_resume(fv_volume *volume);
int fv_volume_dat_fd(fv_volume *volume);
/* 1 when some live entry has no payload, or a negative errno. */
int fv_volume_has_live_empty_file(fv_volume *volume);
fv_map *fv_volume_map(fv_volume *volume);

/* The map's entry, of deleted needles too.  FV_OK, FV_NOT_FOUND, FV_COLD (only with nowait),
 * FV_IO_ERROR, FV_NO_MEMORY; FV_CLOSED: this volume's map is, and there may be another volume. */
int fv_volume_find(fv_volume *volume, uint64_t id, int nowait, fv_entry *out, int *sys_errno);
/* Reads one needle by id, checked (unless FV_READ_META).  out->buffer is to be given back with
 * fv_read_release, also after a failure. */
int fv_volume_read(fv_volume *volume, uint64_t id, unsigned mode, fv_read *out);
/* The same for an entry that has been found. */
int fv_volume_read_entry(fv_volume *volume, const fv_entry *entry, unsigned mode, fv_read *out);
void fv_read_release(fv_read *read);

#define FV_VERIFY_WAIT 0   /* read ahead, and wait for the disk */
#define FV_VERIFY_NOWAIT 1 /* FV_COLD when it is not in the page cache */
#define FV_VERIFY_CACHED 2 /* the caller has just seen that it is */
/* Checks a payload in place, through the mapping, against a checksum in raw or legacy form.
 * FV_OK, FV_NEEDLE_BAD_CRC (fault filled), FV_COLD (only with NOWAIT), FV_IO_ERROR. */
int fv_volume_verify(fv_volume *volume, uint64_t data_offset, uint32_t data_size, uint32_t stored,
                     int how, fv_fault *fault);

/* Appends a needle (size and append_at_ns are set here).  With nowait: FV_BUSY or FV_COLD rather
 * than wait.  Nothing stays behind after a failure. */
int fv_volume_write(fv_volume *volume, fv_needle *needle, int check_cookie, int nowait,
                    fv_write_result *out);
/* Appends a whole record under an id: its own id and append time are replaced, everything else stays
 * as it is, damaged or not.  Nothing is written when that needle has the same content already.
 * FV_BAD_NEEDLE: its length is not that of its size. */
int fv_volume_append_record(fv_volume *volume, uint64_t id, const uint8_t *record, size_t length,
                            fv_write_result *out);
/* Appends a tombstone; out->size is 0 and nothing is written when there is nothing to delete.  With
 * `always` it is written all the same, so it is refused where writes are. */
int fv_volume_delete(fv_volume *volume, uint64_t id, uint32_t cookie, uint32_t checksum, int always,
                     int nowait, fv_write_result *out);
/* Makes everything appended so far durable, data first.  0 or a negative errno; *on_index tells which. */
int fv_volume_sync(fv_volume *volume, int *on_index);
/* Reserves a little room behind both ends, so that a disk which fills up still takes deletions. */
void fv_volume_reserve_for_deletes(fv_volume *volume);
/* Reserves blocks behind a file's end without growing it; a file system that cannot is no error. */
void fv_reserve(int fd, uint64_t size);
/* Begins to write a range to the disk, without waiting for it: a sync at the end has less to do. */
void fv_write_behind(int fd, uint64_t offset, uint64_t length);
/* cffi:end */

/* Old 4-byte servers let offsets wrap here; the record then lies one turn further. */
#define FV_HISTORIC_WRAP (32ull << 30)

/* For the fast read. */
unsigned fv_volume_flags(const fv_volume *volume);
int fv_volume_version(const fv_volume *volume);
int fv_volume_offset_width(const fv_volume *volume);
/* Size of the index once the append under way has reached the map, too. */
uint64_t fv_volume_settled_idx_size(fv_volume *volume);
uint32_t fv_volume_id(const fv_volume *volume);
void fv_volume_ttl(const fv_volume *volume, uint8_t out[2]);
/* Reads exactly `length` bytes into `out`; FV_OK, FV_COLD, FV_NEEDLE_SHORT, FV_IO_ERROR. */
int fv_volume_pread(fv_volume *volume, void *out, size_t length, uint64_t offset, int nowait,
                    int *sys_errno);
/* Copies mapped bytes; FV_OK, or FV_IO_ERROR when a page of them cannot be read. */
int fv_volume_copy_mapped(fv_volume *volume, uint64_t offset, size_t length, void *out);
/* The mapping that covers [0, end), or NULL; stays valid as long as the volume. */
const uint8_t *fv_volume_mapped(fv_volume *volume, uint64_t end);
/* 1 when every page of the range is in the page cache. */
int fv_volume_resident(fv_volume *volume, uint64_t offset, uint64_t length);
/* "verified once" memory, one bit per granule of the file.  Only for records whose body is larger than
 * FV_ONCE_GRANULE: no two of them begin in the same granule. */
#define FV_ONCE_GRANULE 16384
int fv_volume_was_verified(fv_volume *volume, uint64_t offset);
void fv_volume_note_verified(fv_volume *volume, uint64_t offset);

#endif
