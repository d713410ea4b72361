"""Every limit and default of the server, by name and with its unit.

A number that bounds memory, time or size anywhere in fastvol is defined here, so that an operator
can find it and a test can hit it.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# --- HTTP ---------------------------------------------------------------------------------------
HTTP_HEAD_BYTES_MAX: Final = 1 * MIB + 4 * KIB
"""Largest request head (upstream: Go's 1 MiB default plus its slop)."""
HTTP_HEAD_SECONDS_MAX: Final = 30
"""A request head must be complete this long after its first byte (idle timeout caps it)."""
HTTP_IDLE_SECONDS_DEFAULT: Final = 30
HTTP_DRAIN_BYTES_MAX: Final = 256 * KIB
"""A rejected request's body is read and dropped up to this size; beyond it we close."""
HTTP_FORM_BYTES_MAX: Final = 10 * MIB
"""Largest urlencoded form body (upstream: Go's ParseForm)."""
HTTP_LISTEN_BACKLOG: Final = 1024
HTTP_INLINE_WRITE_BYTES_MAX: Final = 256 * KIB
"""Uploads up to this size are appended on the event loop; larger ones go to a thread."""
HTTP_COPY_BYTES_MAX: Final = 16 * KIB
"""Needle bodies up to this size are read whole and sent from that copy (tuning.md)."""
HTTP_MAP_BYTES_MAX: Final = 256 * KIB
"""Payloads up to this size are sent from the mapping, larger ones by sendfile (tuning.md)."""
HTTP_WORKERS_MAX: Final = 32
"""Threads for HTTP work that may wait: cold reads in Python, fsync, large uploads."""
HTTP_IMAGE_THREADS: Final = 8
"""Threads that make images; those that wait for memory to do so hold up no other work."""
HTTP_INLINE_VERIFY_BYTES_MAX: Final = 1 * MIB
"""Payloads above this size are checked by an I/O thread, so that one read stalls nobody."""
HTTP_IO_THREADS: Final = 16
"""Threads that wait for cold reads; about the queue depth that keeps an NVMe drive busy."""

# --- HTTP connections ---------------------------------------------------------------------------
HTTP_CHUNK_LINE_BYTES_MAX: Final = 4096
"""Longest size line, and longest trailer, of a chunked body (upstream: Go's read buffer)."""
HTTP_CHUNK_EXCESS_BYTES_MAX: Final = 16 * KIB
"""Framing a chunked body may carry beyond what its chunks justify."""
HTTP_TURN_BYTES: Final = 4 * MIB
"""What one connection sends before others get their turn."""
HTTP_TURN_REQUESTS: Final = 64
"""Pipelined requests of one connection answered in Python before others get their turn."""
HTTP_RANGES_MAX: Final = 1024
"""A read that asks for more pieces gets the whole."""
HTTP_GONE_POLL_SECONDS: Final = 0.5
"""How often a request that waits for a limit looks whether its client is still there."""
HTTP_LINGER_SECONDS: Final = 0.5
"""A connection closed on unread input is read on for this long, so that its answer arrives."""

# --- TLS ----------------------------------------------------------------------------------------
TLS_PIECE_BYTES: Final = 64 * KIB
"""Decrypted or encrypted at a time; one connection holds at most about this much each way."""
TLS_REFRESH_SECONDS: Final = 5 * 3600
"""How often certificates are read again (upstream: its certificate provider)."""

# --- other volume servers -----------------------------------------------------------------------
LOOKUP_BATCH_VOLUMES_MAX: Final = 1000
"""Volumes that one question to the master is about."""
LOCATION_CACHE_SECONDS: Final = 600
"""Reads go by locations that a master told within this time (upstream: lookup_vid_cache.go)."""
LOCATION_CACHE_ENTRIES_MAX: Final = 100_000
PEER_CONNECT_SECONDS: Final = 10
PEER_HEAD_SECONDS: Final = 30
"""A peer's answer must begin within this time; its body may take as long as it flows."""
PEER_STALL_SECONDS: Final = 60
"""A body of which nothing comes for so long is given up; its last words take no longer in all."""
PEER_IDLE_SECONDS: Final = 90
PEER_CONNECTIONS_PER_HOST_MAX: Final = 1024
PEER_BYTES_PER_SECOND_MIN: Final = 256 * KIB
"""A body that a peer takes more slowly is given up."""
PEER_READ_BYTES: Final = 128 * KIB
PEER_SEND_BYTES: Final = 1 * MIB
"""Given to the event loop at a time."""
PEER_REDIRECTS_MAX: Final = 10
PROXY_HOPS_MAX: Final = 4
"""A read that came through so many servers is not sent on: they are wrong about each other."""
MANIFEST_BYTES_MAX: Final = 16 * MIB
"""A longer list of chunks is an object like any other: taken apart it is ten times as large."""
CHUNK_DEPTH_MAX: Final = 8
"""So many chunk manifests may lead to a chunk, one listing the other; more of them go in a circle."""
PEER_ERROR_BYTES_MAX: Final = 64 * KIB
"""So much of a peer's answer to a forwarded change is read."""

# --- HTTP parsing -------------------------------------------------------------------------------
SNIFF_BYTES_MAX: Final = 512
"""Content sniffing looks at this many first bytes."""
MULTIPART_LINE_BYTES_MAX: Final = 4096
"""Longest preamble or delimiter line of a multipart body (upstream: its read buffer)."""
GUNZIP_BYTES_MAX: Final = 1 * GIB
"""A stored or uploaded gzip stream is not inflated beyond this size."""

# --- images -------------------------------------------------------------------------------------
IMAGE_PIXELS_MAX: Final = 128 * 1024 * 1024
"""Larger images are neither resized nor cropped nor turned: a small file can claim any size."""
IMAGE_BYTES_MAX: Final = 64 * MIB
"""Larger files are not looked into."""
IMAGE_PIXELS_AT_ONCE: Final = 128 * 1024 * 1024
"""Pixels of all images decoded at a time, originals and results; about 8 bytes of memory each."""

# --- status page --------------------------------------------------------------------------------
STATUS_PAGE_VOLUMES: Final = 200
"""Volumes on one page of the list."""
STATUS_PAGE_DAMAGED_MAX: Final = 200
"""Damaged volumes that are listed; further ones are only counted."""
STATUS_PAGE_CACHE_SECONDS: Final = 1
"""However many browsers look, the volumes are gone through once in this time."""
ACTIVITY_SECONDS: Final = 1
ACTIVITY_LONG_SECONDS: Final = 60
ACTIVITY_NOTES: Final = 60
"""Rates are kept for so many of each of the two."""

# --- logging ------------------------------------------------------------------------------------
LOG_REPEAT_SECONDS: Final = 10
"""An error that hits every request is logged this often, with how many lines were left out."""
LOG_REPEAT_KINDS_MAX: Final = 1024
"""So many such errors (one a volume, say) are told apart; beyond that all others count as one."""

# --- security -----------------------------------------------------------------------------------
JWT_CACHE_ENTRIES_MAX: Final = 4096
"""Tokens whose signature is remembered; a full cache starts anew."""

# --- defaults of flags --------------------------------------------------------------------------
HTTP_PORT_DEFAULT: Final = 8080
READ_BUFFER_MIB_DEFAULT: Final = 4
IN_FLIGHT_WAIT_SECONDS_DEFAULT: Final = 60
SERVE_VOLUME_SIZE_MIB_DEFAULT: Final = 1024
"""Volume size of a single node: the largest that upstream's one-process bundle chooses."""

# --- needles and volumes ------------------------------------------------------------------------
FILE_SIZE_MIB_DEFAULT: Final = 256
PAGED_READ_BYTES: Final = 1 * MIB
"""Above this record body size upstream reads only the metadata first (PagedReadLimit)."""
PAIRS_BYTES_MAX: Final = 65535
NAME_BYTES_MAX: Final = 255
MIME_BYTES_MAX: Final = 255

# --- opening a volume ---------------------------------------------------------------------------
LAST_WRITE_ROWS_MAX: Final = 65536
"""A vacuumed TTL volume with more needles than this takes its age from the data file's time."""
OFFSET_WIDTH_DEFAULT: Final = 5
"""Bytes of an offset in new volumes when nothing speaks for 4."""

# --- needle maps --------------------------------------------------------------------------------
LEVELDB_CACHE_BYTES_MAX: Final = 512 * MIB
"""Block caches and write buffers of all LevelDB maps together; later ones get less and less."""
LEVELDB_CACHE_BYTES_MIN: Final = 192 * KIB
"""What one gets even when nothing is left; no more are open than have room for this much."""
LEVELDB_WRITE_BUFFER_BYTES_MIN: Final = 64 * KIB
"""LevelDB takes no less."""
LEVELDB_TABLE_BYTES: Final = 4 * MIB
"""Size of a table file: larger ones are fewer, and cost more each time they are merged."""
LEVELDB_OPEN_FILES: Final = 74
"""Descriptors that one LevelDB may use: its smallest setting, 64 of them for tables."""
LEVELDB_DESCRIPTORS: Final = 4
"""Descriptors that it holds in any case."""
LEVELDB_DESCRIPTORS_SHARE: Final = 0.25
"""Share of the process's descriptors that all LevelDB maps may hold; then unused ones are closed."""
LEVELDB_WATERMARK_ROWS: Final = 10_000
"""So many index rows may have to be replayed after a crash."""
LEVELDB_REPLAY_ROWS: Final = 500
"""Replayed between two pauses in which other threads get their turn."""
LEVELDB_BUILD_ROWS: Final = 100_000
"""With more than so many to replay, a database gets the memory to do it well; one at a time."""
LEVELDB_BUILD_BUFFER_BYTES: Final = 8 * MIB
"""Its write buffer meanwhile."""
LEVELDB_IDLE_CHECK_SECONDS: Final = 60
LEVELDB_SAMPLE_ROWS: Final = 64
"""Rows by which a LevelDB map knows its index again."""

# --- vacuum -------------------------------------------------------------------------------------
VACUUM_STEP_BYTES: Final = 1024 * KIB
"""Copied at a time; between two steps a vacuum can be throttled and stopped."""
BACKGROUND_NICENESS: Final = 15
"""Of threads that copy or check whole volumes; 0 is normal, 19 the lowest priority."""
VACUUM_PAUSED_BYTES: Final = 64 * KIB
"""With no more than so many bytes of index rows to catch up with, writers may be kept waiting."""
VACUUM_CATCH_UP_ROUNDS: Final = 64
"""After so many steps of catching up the writers are kept waiting for the rest, whatever it is."""

# --- offline tools ------------------------------------------------------------------------------
SURVEY_STEP_BYTES: Final = 64 * MIB
"""Explained at a time; between two steps progress is shown."""
SURVEY_ROWS: Final = 1 << 20
"""Index rows compared with their records at a time."""
SURVEY_LIST_MAX: Final = 1000
"""Damaged places and wrong rows that a tool names; further ones are only counted."""

# --- store --------------------------------------------------------------------------------------
VOLUME_COUNT_DEFAULT: Final = 8
DISK_CHECK_SECONDS: Final = 60
LOAD_THREADS_MAX: Final = 4
"""At work for one location: more of them wait for the interpreter, not for the disk."""
MIN_FREE_SPACE_PERCENT_DEFAULT: Final = 1.0
MIN_FREE_SPACE_BYTES_MIN: Final = 100
"""A minimum given in bytes must be larger than this."""
DISK_STAT_SECONDS_MAX: Final = 0.5
"""A file system that does not tell its free space within this time counts as failing."""
DISK_STAT_FAILURES_MAX: Final = 5
"""So many failed checks in a row make a location unavailable."""
DISK_RECOVERY_COEFFICIENT: Final = 0.5
"""Good checks needed after n failed ones: n * (1 / this - 1)."""
DISK_RECOVERY_MARGIN: Final = 0.1
"""A disk that was low takes writes again with so much more than the minimum, as a share of it."""
UNLINKED_RECHECK_SECONDS: Final = 30
"""A data file seen on the disk is not looked for again during this time."""
COMPACTION_POLL_SECONDS: Final = 0.5
"""How often an unmount looks whether a running vacuum is over."""
REPLACED_LINGER_SECONDS: Final = 0.2
"""A volume whose place another one has taken is closed then: requests that found it are answered."""

# --- gRPC ---------------------------------------------------------------------------------------
GRPC_MESSAGE_BYTES_MAX: Final = 1 * GIB
GRPC_STREAMS_MAX: Final = 1000
GRPC_METADATA_BYTES_MAX: Final = 8 * MIB
GRPC_STREAM_WINDOW_BYTES: Final = 16 * MIB
GRPC_KEEPALIVE_MS: Final = 60_000
GRPC_KEEPALIVE_TIMEOUT_MS: Final = 20_000
GRPC_PING_INTERVAL_MS_MIN: Final = 20_000
GRPC_PORT_OFFSET: Final = 10_000
"""The gRPC port is the HTTP port plus this unless given."""

# --- heartbeat ----------------------------------------------------------------------------------
HEARTBEAT_SECONDS: Final = 5
HEARTBEAT_EC_PULSES: Final = 17
HEARTBEAT_LEADER_SECONDS: Final = 3
"""Wait before following a redirect to another leader."""
MASTER_RETRY_SECONDS: Final = 1.79
"""Pause between rounds over the masters while none answers at start."""
DUPLICATE_DIRECTORY_RETRIES: Final = 3

# --- shutdown -----------------------------------------------------------------------------------
PRE_STOP_SECONDS_DEFAULT: Final = 10
HTTP_STOP_SECONDS: Final = 30
GRPC_STOP_SECONDS: Final = 60
LEAVE_SECONDS: Final = 5
"""How long the farewell to the master may take."""

# --- control plane ------------------------------------------------------------------------------
CONTROL_THREADS_MAX: Final = 4096
"""Blocking file work of gRPC calls and heartbeats; threads start on demand only."""
MASTER_CALL_SECONDS: Final = 5
"""Deadline of GetMasterConfiguration and Ping calls to a master."""
PEER_NAME_SECONDS_MAX: Final = 5
"""To read a server's certificate before a channel to it is opened."""
CHANNEL_DRAIN_SECONDS: Final = 5
"""A dropped channel lets its other calls finish for this long."""
DUPLICATE_DIRECTORY_SECONDS: Final = 2
"""First wait after a master refused our directories; doubles with each retry."""
HEARTBEAT_CLOSE_SECONDS: Final = 1
"""How long an ending heartbeat stream may take to tell us why, or to take our last beat."""

# --- scrub, visiting, comparison ------------------------------------------------------------------
SCRUB_STEP_BYTES: Final = 16 * MIB
"""Work of a scrub between two looks at its throttle and at whether it is still wanted."""
SCRUB_DETAILS_MAX: Final = 10_000
"""Findings of a scrub that are described; beyond that they are counted."""
COMPARE_DETAILS_MAX: Final = 1000
"""Differences of two replicas that are listed one by one; beyond that they are counted."""
COMPARE_STEP_NEEDLES: Final = 65_536
"""Needles compared between two reports of progress."""
VISIT_BATCH_RECORDS: Final = 1024
"""Records that one call into the C core describes."""
TAIL_CHUNK_BYTES: Final = 2 * MIB
"""Largest piece of a record's body, and of a raw copy, in one message (upstream: BufferSizeLimit)."""
TAIL_POLL_SECONDS: Final = 2.0
"""Whoever follows a volume is told what is new so often."""

ADDRESS_LOOKUP_SECONDS: Final = 2.0
"""For resolving the name of a server that a caller points this one at."""
WRITE_BEHIND_BYTES: Final = 32 * MIB
"""So much of a file that arrives goes to the disk while the rest is on its way."""
COPY_REPORT_BYTES: Final = 128 * MIB
"""Whoever has a volume copied or vacuumed is told after so many bytes."""

# --- remote storage -------------------------------------------------------------------------------
REMOTE_PART_BYTES: Final = 64 * MIB
"""Of an upload or a download; four times as much until a file has fewer parts than the next number."""
REMOTE_PARTS_MAX: Final = 1000
REMOTE_CONCURRENCY_DEFAULT: Final = 5
"""Parts of one transfer at a time, unless the backend or the caller says another number."""
REMOTE_CONCURRENCY_MAX: Final = 64
REMOTE_CONNECT_SECONDS: Final = 5
REMOTE_READ_SECONDS: Final = 30
"""An object store must answer, and go on answering, within this time."""
REMOTE_PAUSE_SECONDS: Final = 60
"""After a failure a store is not asked for the head of other volumes' data for so long."""
REMOTE_ATTEMPTS: Final = 3
REMOTE_CONNECTIONS_MAX: Final = 64
"""Kept open to one object store."""
REMOTE_STREAM_BYTES: Final = 1 * MIB
"""Of a download written at a time."""
REMOTE_BLOCK_BYTES: Final = 256 * KIB
"""What is read of a volume on remote storage is fetched, and kept, in blocks of this size."""
REMOTE_FETCH_BYTES: Final = 4 * MIB
"""Blocks that follow each other are fetched with one request, up to this size."""
REMOTE_CACHE_BYTES_MAX: Final = 512 * MIB
"""Blocks that are kept on the disk, of all volumes together."""
REMOTE_READERS_MAX: Final = 32
"""Threads for HTTP reads that wait for an object store, so that others need not wait with them."""
REMOTE_PIECE_BYTES: Final = 1 * MIB
"""Of a large object's content that lies in an object store, read and sent at a time."""
REMOTE_NEEDLE_PART_BYTES: Final = 4 * MIB
"""Of an object that becomes a needle, fetched with one request."""
REMOTE_PROGRESS_SECONDS: Final = 1.0
"""Whoever has a volume moved is told at most so often."""

# --- metrics --------------------------------------------------------------------------------------
METRICS_METHODS_MAX: Final = 32
"""HTTP methods with series of their own; a client may make up any number of them."""
METRICS_SLICE_VOLUMES: Final = 64
"""A scrape that goes through the volumes lets other threads on after so many."""
METRICS_REQUEST_SECONDS_MAX: Final = 10
"""How long a scraper may take for its request, and for each piece of the answer."""
METRICS_SCRAPES_MAX: Final = 8
"""Scrapes at a time; further ones wait."""
METRICS_LISTEN_BACKLOG: Final = 64
METRICS_PUSH_SECONDS_MAX: Final = 10
"""How long a push gateway may take to answer."""
