"""The flags of ``fastvol volume``: all of ``weed volume`` 4.48, and fastvol's own at the end."""

import os
from typing import Final

from fastvol.cli.go_flags import Flag, FlagSet
from fastvol.config.addresses import detected_host_address
from fastvol.limits import (
    FILE_SIZE_MIB_DEFAULT,
    HTTP_IDLE_SECONDS_DEFAULT,
    HTTP_PORT_DEFAULT,
    IN_FLIGHT_WAIT_SECONDS_DEFAULT,
    PRE_STOP_SECONDS_DEFAULT,
    READ_BUFFER_MIB_DEFAULT,
    VOLUME_COUNT_DEFAULT,
)

_NOT_BUILT: Final = False


def volume_flags() -> FlagSet:
    """The table; the default of ``-ip`` is this machine's address, so it is made when needed."""
    return FlagSet(
        [
            *_network_flags(),
            *_cluster_flags(),
            *_storage_flags(),
            *_traffic_flags(),
            *_diagnosis_flags(),
            *_own_flags(),
        ]
    )


def _temporary_directory() -> str:
    return os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - upstream's default, shown in the usage


def _network_flags() -> list[Flag]:
    return [
        Flag("port", "int", HTTP_PORT_DEFAULT, "HTTP port"),
        Flag("port.grpc", "int", 0, "gRPC port; 0: HTTP port + 10000"),
        Flag("port.public", "int", 0, "second HTTP port, for reads only; 0: none"),
        Flag("ip", "string", detected_host_address(), "address or name told to the cluster"),
        Flag("ip.bind", "string", "", "address to listen on; empty: that of -ip"),
        Flag("id", "string", "", "stable name of this server; empty: ip:port"),
        Flag("publicUrl", "string", "", "address told to clients; empty: ip and public port"),
        Flag(
            "idleTimeout",
            "int",
            HTTP_IDLE_SECONDS_DEFAULT,
            "seconds until an idle connection is closed",
        ),
        Flag(
            "whiteList",
            "string",
            "",
            "comma-separated addresses and CIDRs that may write; empty: all",
        ),
        Flag(
            "preStopSeconds",
            "int",
            PRE_STOP_SECONDS_DEFAULT,
            "seconds between the last heartbeat and closing the ports",
        ),
    ]


def _cluster_flags() -> list[Flag]:
    return [
        Flag("master", "string", "localhost:9333", "comma-separated master servers"),
        Flag("mserver", "string", "", "comma-separated master servers; replaces -master"),
        Flag("dataCenter", "string", "", "data center of this server"),
        Flag("rack", "string", "", "rack of this server"),
        Flag(
            "volume.allowUntrustedRemoteEndpoints",
            "bool",
            False,
            "let peers name any remote endpoint, loopback and link-local included",
        ),
    ]


def _storage_flags() -> list[Flag]:
    return [
        Flag("dir", "string", _temporary_directory(), "comma-separated data directories"),
        Flag("dir.idx", "string", "", "directory for the index files"),
        Flag(
            "max",
            "string",
            str(VOLUME_COUNT_DEFAULT),
            "comma-separated maximum volume counts; 0: by free space",
        ),
        Flag(
            "minFreeSpace",
            "string",
            "",
            "comma-separated free space to keep: a percentage up to 100, or a size like 10GiB",
        ),
        Flag("minFreeSpacePercent", "string", "1", "older form of -minFreeSpace"),
        Flag("disk", "string", "", "comma-separated disk types: hdd, ssd or any tag"),
        Flag(
            "tags",
            "string",
            "",
            "comma-separated groups of tags, one a directory; tags separated by a colon",
        ),
        Flag(
            "index",
            "string",
            "memory",
            "needle map: memory, leveldb, leveldbMedium or leveldbLarge",
        ),
        Flag(
            "index.leveldbTimeout",
            "int",
            0,
            "hours until an unused leveldb is closed; 0: never",
        ),
        Flag("compactionMBps", "int", 0, "byte rate of a vacuum in MB/s; 0: no limit"),
        Flag(
            "maintenanceMBps",
            "int",
            0,
            "byte rate of copies between servers and of scrubs in MB/s; 0: no limit",
        ),
    ]


def _traffic_flags() -> list[Flag]:
    return [
        Flag(
            "readMode",
            "string",
            "proxy",
            "reads of volumes that are elsewhere: local (not found), proxy or redirect",
        ),
        Flag(
            "hasSlowRead",
            "bool",
            True,
            "accepted: reads take no lock that writes could wait for",
        ),
        Flag(
            "readBufferSizeMB",
            "int",
            READ_BUFFER_MIB_DEFAULT,
            "accepted: long reads are sent from the file",
        ),
        Flag("fileSizeLimitMB", "int", FILE_SIZE_MIB_DEFAULT, "largest upload"),
        Flag(
            "concurrentUploadLimitMB",
            "int",
            0,
            "bytes of uploads in flight; 0: no limit",
        ),
        Flag(
            "concurrentDownloadLimitMB",
            "int",
            0,
            "bytes of downloads in flight; 0: no limit",
        ),
        Flag(
            "inflightUploadDataTimeout",
            "duration",
            IN_FLIGHT_WAIT_SECONDS_DEFAULT,
            "wait for that limit before an upload is refused",
        ),
        Flag(
            "inflightDownloadDataTimeout",
            "duration",
            IN_FLIGHT_WAIT_SECONDS_DEFAULT,
            "wait for that limit before a download is refused",
        ),
        Flag("images.fix.orientation", "bool", False, "turn uploaded JPEGs upright"),
    ]


def _diagnosis_flags() -> list[Flag]:
    return [
        Flag("metricsPort", "int", 0, "port of the Prometheus metrics; 0: none"),
        Flag("metricsIp", "string", "", "address of the metrics port; empty: that of -ip.bind"),
        Flag("pprof", "bool", False, "profiling pages on the HTTP port", _NOT_BUILT),
        Flag("cpuprofile", "string", "", "file for a CPU profile", _NOT_BUILT),
        Flag("memprofile", "string", "", "file for a memory profile", _NOT_BUILT),
        Flag("debug", "bool", False, "profiling server on 127.0.0.1", _NOT_BUILT),
        Flag("debug.port", "int", 6060, "port of that server", _NOT_BUILT),
        Flag("options", "string", "", "file of flags, one name=value a line"),
    ]


def _own_flags() -> list[Flag]:
    return [
        Flag(
            "offsetBytes",
            "string",
            "auto",
            "bytes of an offset in new volumes: 4, 5, or auto to go by the volumes there are",
        ),
        Flag("fastRead", "bool", True, "answer plain reads from the C core"),
        Flag("fastWrite", "bool", True, "store plain uploads from the C core"),
        Flag(
            "readVerify",
            "string",
            "always",
            "checksum a needle on every read (always) or on the first (once)",
        ),
        Flag("securityFile", "string", "", "security.toml to use instead of searching for one"),
        Flag(
            "config_dir",
            "string",
            "",
            "directory with toml configuration files",
            from_environment=False,
        ),
    ]
