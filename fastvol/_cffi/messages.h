/* Messages of bulk streams, as protobuf encodes them, from records that a visit described: one message
 * a record, one behind the other in a buffer. */
#ifndef FASTVOL_MESSAGES_H
#define FASTVOL_MESSAGES_H

#include "visit.h"
#include "volume.h"

/* cffi:begin */
#define FV_MESSAGES_LARGE 1 /* the next record does not fit an empty buffer; `needed` would do */

typedef struct {
    size_t used;    /* records that were gone through, with or without a message */
    size_t count;   /* messages made */
    size_t damaged; /* live needles left out */
    uint64_t damaged_id; /* of the last one */
    size_t needed;
    int code; /* 0, FV_MESSAGES_LARGE, FV_NEEDLE_SHORT, FV_IO_ERROR */
    int sys_errno;
    int failed_on_map;
} fv_messages_result;

/* ReadAllNeedlesResponses of the records that the volume's map leads to.  `ends` gets the offset behind
 * each message; `dat_fd` is the file that was visited. */
void fv_messages_live(fv_volume *volume, int dat_fd, uint32_t volume_id, const fv_record *records,
                      size_t count, uint8_t *out, size_t capacity, uint32_t *ends,
                      fv_messages_result *result);
/* VolumeTailSenderResponses: header, and the rest of the record in one piece. */
void fv_messages_tail(int dat_fd, int version, const fv_record *records, size_t count, uint8_t *out,
                      size_t capacity, uint32_t *ends, fv_messages_result *result);
/* The youngest append time of some records, 0 for none. */
uint64_t fv_records_newest(const fv_record *records, size_t count);
/* cffi:end */

#endif
