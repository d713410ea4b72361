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
void test_request_takes_a_plain_read(void);
void test_request_waits_for_every_byte(void);
void test_request_leaves_what_asks_for_more(void);
void test_request_does_not_wait_for_ever(void);
void test_request_survives_any_bytes(void);
void test_request_dates(void);
void test_sniff_signatures(void);
void test_sniff_every_prefix_and_any_bytes(void);
void test_disposition_forms(void);
void test_disposition_never_writes_beyond(void);
void test_mime_table(void);
void test_scan_makes_a_row_per_record(void);
void test_scan_of_many_records(void);
void test_scan_stops_where_records_end(void);
void test_scan_of_damaged_records(void);
void test_scan_of_doubtful_tombstones(void);
void test_scan_beyond_four_bytes(void);
void test_scan_errors(void);
void test_scan_finds_survivors(void);
void test_scan_does_not_search_for_ever(void);
void test_scan_of_the_index_tail(void);
void test_volume_round_trip(void);
void test_volume_reads_metadata_alone(void);
void test_volume_flags_and_seal(void);
void test_volume_after_a_failed_rollback(void);
void test_volume_fields_too_long(void);
void test_volume_offsets_end(void);
void test_volume_verified_once(void);
void test_volume_mapping_follows_the_file(void);
void test_volume_outlives_its_owner(void);
void test_guard_survives_missing_pages(void);
void test_volume_cut_short_under_its_mapping(void);
void test_volume_readers_and_writers(void);
void test_serve_answers_any_pipeline_in_order(void);
void test_serve_lets_vanished_clients_go(void);
void test_serve_cold_reads(void);
void test_serve_expiry_and_hold(void);
void test_serve_survives_any_bytes(void);

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
    RUN(test_request_takes_a_plain_read);
    RUN(test_request_waits_for_every_byte);
    RUN(test_request_leaves_what_asks_for_more);
    RUN(test_request_does_not_wait_for_ever);
    RUN(test_request_survives_any_bytes);
    RUN(test_request_dates);
    RUN(test_sniff_signatures);
    RUN(test_sniff_every_prefix_and_any_bytes);
    RUN(test_disposition_forms);
    RUN(test_disposition_never_writes_beyond);
    RUN(test_mime_table);
    RUN(test_scan_makes_a_row_per_record);
    RUN(test_scan_of_many_records);
    RUN(test_scan_stops_where_records_end);
    RUN(test_scan_of_damaged_records);
    RUN(test_scan_of_doubtful_tombstones);
    RUN(test_scan_beyond_four_bytes);
    RUN(test_scan_errors);
    RUN(test_scan_finds_survivors);
    RUN(test_scan_does_not_search_for_ever);
    RUN(test_scan_of_the_index_tail);
    RUN(test_volume_round_trip);
    RUN(test_volume_reads_metadata_alone);
    RUN(test_volume_flags_and_seal);
    RUN(test_volume_after_a_failed_rollback);
    RUN(test_volume_fields_too_long);
    RUN(test_volume_offsets_end);
    RUN(test_volume_verified_once);
    RUN(test_volume_mapping_follows_the_file);
    RUN(test_volume_outlives_its_owner);
    RUN(test_guard_survives_missing_pages);
    RUN(test_volume_cut_short_under_its_mapping);
    RUN(test_volume_readers_and_writers);
    RUN(test_serve_answers_any_pipeline_in_order);
    RUN(test_serve_lets_vanished_clients_go);
    RUN(test_serve_cold_reads);
    RUN(test_serve_expiry_and_hold);
    RUN(test_serve_survives_any_bytes);
    return 0;
}
