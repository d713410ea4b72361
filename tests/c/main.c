/* Runs every C test of the core; the first failure ends the run with status 1. */
#include <stdio.h>

void test_crc32c_vectors(void);
void test_crc32c_kernels_agree(void);
void test_crc32c_combine(void);
void test_map_against_array(void);
void test_map_ascending_memory(void);
void test_map_high_offsets(void);
void test_map_full_range_of_ids(void);
void test_map_load_counters(void);
void test_map_load_errors(void);
void test_map_readers_and_writer(void);
void test_map_out_of_memory(void);
void test_rows(void);
void test_runtime_counters(void);
void test_needle_sizes(void);
void test_needle_worked_example(void);
void test_needle_round_trip(void);
void test_needle_faults(void);
void test_needle_truncated_everywhere(void);
void test_upload_takes_the_go_clients_shape(void);
void test_upload_waits_for_every_byte(void);
void test_upload_leaves_what_asks_for_more(void);
void test_upload_survives_any_bytes(void);
void test_upload_compressible_types(void);

#define RUN(test)                                                                                  \
    do {                                                                                           \
        test();                                                                                    \
        puts("ok " #test);                                                                         \
    } while (0)

int main(void)
{
    RUN(test_crc32c_vectors);
    RUN(test_crc32c_kernels_agree);
    RUN(test_crc32c_combine);
    RUN(test_map_against_array);
    RUN(test_map_ascending_memory);
    RUN(test_map_high_offsets);
    RUN(test_map_full_range_of_ids);
    RUN(test_map_load_counters);
    RUN(test_map_load_errors);
    RUN(test_map_readers_and_writer);
    RUN(test_map_out_of_memory);
    RUN(test_rows);
    RUN(test_runtime_counters);
    RUN(test_needle_sizes);
    RUN(test_needle_worked_example);
    RUN(test_needle_round_trip);
    RUN(test_needle_faults);
    RUN(test_needle_truncated_everywhere);
    RUN(test_upload_takes_the_go_clients_shape);
    RUN(test_upload_waits_for_every_byte);
    RUN(test_upload_leaves_what_asks_for_more);
    RUN(test_upload_survives_any_bytes);
    RUN(test_upload_compressible_types);
    return 0;
}
