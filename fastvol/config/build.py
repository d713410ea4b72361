"""From flag values and files to one :class:`Config`, or one error that names what is wrong.

Order of derivation and texts of ``weed/command/volume.go: runVolume, startVolumeServer``; each
:class:`ConfigError` ends the process with status 255.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Final, TypeVar

from fastvol.cluster.server_address import join_host_port
from fastvol.config.addresses import detected_host_address
from fastvol.config.locations import data_locations, expand_user
from fastvol.config.model import (
    Config,
    DiskProbeConfig,
    ReadVerify,
)
from fastvol.config.security import SecuritySource, load_security, split_list
from fastvol.config.settings import Settings, find_settings_file, read_toml
from fastvol.errors import ConfigError
from fastvol.http.parts import ReadMode
from fastvol.index.kinds import SIZE_CLASSES, IndexKind
from fastvol.limits import GRPC_PORT_OFFSET, MIB

FlagValue = bool | int | float | str

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

_PORT_MAX: Final = 65535
_READ_MODES: Final[dict[str, ReadMode]] = {"local": "local", "proxy": "proxy"}
_LEVELDB_KINDS: Final[dict[str, IndexKind]] = {kind: kind for kind in SIZE_CLASSES}
_READ_VERIFY: Final[dict[str, ReadVerify]] = {"always": "always", "once": "once"}
_OFFSET_WIDTHS: Final[dict[str, int | None]] = {"auto": None, "4": 4, "5": 5}


class _Flags:
    """Typed access to parsed flag values."""

    def __init__(self, values: Mapping[str, FlagValue]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        return str(self._values[name])

    def integer(self, name: str) -> int:
        return int(self._values[name])

    def seconds(self, name: str) -> float:
        return float(self._values[name])

    def flag(self, name: str) -> bool:
        return bool(self._values[name])


def build_config(
    values: Mapping[str, FlagValue], *, config_dir: str, environ: Mapping[str, str]
) -> Config:
    """Configuration of ``fastvol volume``.

    ``values`` holds every flag of the volume flag table by name.

    Raises:
        ConfigError: with the text to print before exiting.
    """
    flags = _Flags(values)
    source = SecuritySource(
        flags.text("config_dir") or config_dir,
        flags.text("securityFile"),
        flags.text("whiteList"),
        environ,
    )
    security, settings = load_security(source, Settings(environ))
    settings = _with_volume_toml(settings, source)
    masters = split_list(flags.text("mserver") or flags.text("master"))
    locations = data_locations(
        directories=flags.text("dir"),
        volume_counts=flags.text("max"),
        free_spaces=flags.text("minFreeSpace") or flags.text("minFreeSpacePercent"),
        disk_types=flags.text("disk"),
        tags=flags.text("tags"),
    )

    ip = flags.text("ip") or detected_host_address()
    bind_ip = flags.text("ip.bind") or ip
    port = _port(flags, "port")
    public_port = _port(flags, "port.public") or port
    grpc_port = _port(flags, "port.grpc") or port + GRPC_PORT_OFFSET
    if grpc_port > _PORT_MAX:
        raise ConfigError(f"failed to listen on grpc port {grpc_port}: invalid port")
    index_directory = flags.text("dir.idx")
    return Config(
        ip=ip,
        bind_ip=bind_ip,
        port=port,
        grpc_port=grpc_port,
        public_port=public_port,
        public_url=flags.text("publicUrl") or join_host_port(ip, public_port),
        server_id=flags.text("id").strip() or join_host_port(ip, port),
        masters=masters,
        data_center=flags.text("dataCenter"),
        rack=flags.text("rack"),
        locations=locations,
        index_directory=expand_user(index_directory) if index_directory else None,
        index_kind=_index_kind(flags.text("index")),
        leveldb_idle_hours=max(0, flags.integer("index.leveldbTimeout")),
        offset_width=_choice("offsetBytes", flags.text("offsetBytes"), _OFFSET_WIDTHS),
        pre_stop_seconds=flags.integer("preStopSeconds"),
        idle_timeout_seconds=flags.integer("idleTimeout"),
        read_mode=_READ_MODES.get(flags.text("readMode"), "redirect"),
        fast_read=flags.flag("fastRead"),
        fast_write=flags.flag("fastWrite"),
        read_verify=_choice("readVerify", flags.text("readVerify"), _READ_VERIFY),
        has_slow_read=flags.flag("hasSlowRead"),
        read_buffer_bytes=flags.integer("readBufferSizeMB") * MIB,
        file_size_max=flags.integer("fileSizeLimitMB") * MIB,
        upload_bytes_in_flight_max=flags.integer("concurrentUploadLimitMB") * MIB,
        download_bytes_in_flight_max=flags.integer("concurrentDownloadLimitMB") * MIB,
        upload_wait_seconds=flags.seconds("inflightUploadDataTimeout"),
        download_wait_seconds=flags.seconds("inflightDownloadDataTimeout"),
        fix_image_orientation=flags.flag("images.fix.orientation"),
        compaction_bytes_per_second=flags.integer("compactionMBps") * MIB,
        maintenance_bytes_per_second=flags.integer("maintenanceMBps") * MIB,
        allow_untrusted_remote_endpoints=flags.flag("volume.allowUntrustedRemoteEndpoints"),
        metrics_ip=flags.text("metricsIp") or bind_ip,
        metrics_port=_port(flags, "metricsPort"),
        debug_port=_port(flags, "debug.port") if flags.flag("debug") else 0,
        pprof=flags.flag("pprof"),
        cpu_profile="" if flags.flag("pprof") else flags.text("cpuprofile"),
        memory_profile="" if flags.flag("pprof") else flags.text("memprofile"),
        security=security,
        security_source=source,
        settings=settings,
        disk_probe=_disk_probe(settings),
    )


def build_single_node_config(
    values: Mapping[str, FlagValue],
    *,
    volume_size_max: int,
    config_dir: str,
    environ: Mapping[str, str],
) -> Config:
    """Configuration of ``fastvol serve``: the same, without masters.

    Raises:
        ConfigError: with the text to print before exiting.
    """
    if volume_size_max <= 0:
        raise ConfigError(f"-volumeSizeLimitMB must be positive: {volume_size_max // MIB}")
    config = build_config(values, config_dir=config_dir, environ=environ)
    return replace(config, masters=(), single_node=True, volume_size_max=volume_size_max)


def _choice(name: str, text: str, choices: Mapping[str, _T]) -> _T:
    if text not in choices:
        raise ConfigError(f"-{name} must be one of {', '.join(choices)}: {text}")
    return choices[text]


def _index_kind(text: str) -> IndexKind:
    if text not in _LEVELDB_KINDS:
        if text != "memory":
            _log.warning("-index=%s is no index kind, using memory", text)
        return "memory"
    if find_spec("plyvel") is None:
        raise ConfigError(f"-index={text} needs the Python package plyvel: pip install plyvel")
    return _LEVELDB_KINDS[text]


def _port(flags: _Flags, name: str) -> int:
    port = flags.integer(name)
    if not 0 <= port <= _PORT_MAX:
        raise ConfigError(f"-{name}: address {port}: invalid port")
    return port


def _with_volume_toml(settings: Settings, source: SecuritySource) -> Settings:
    """``volume.toml`` only tunes, so one that does not parse is passed over with a warning."""
    path = find_settings_file("volume", source.config_dir, source.environ)
    if path is None:
        return settings
    try:
        return settings.merged(read_toml(path))
    except ConfigError as error:
        _log.warning("%s. Skipping optional configuration.", error)
        return settings


def _disk_probe(settings: Settings) -> DiskProbeConfig:
    key = "volume.disk.io."
    base = DiskProbeConfig()
    return DiskProbeConfig(
        enabled=settings.flag(key + "probe"),
        timeout=settings.duration(key + "timeout", base.timeout),
        interval=settings.duration(key + "interval", base.interval),
        window=settings.duration(key + "window", base.window),
        min_samples=settings.integer(key + "min.samples", base.min_samples),
        slow_percent=settings.number(key + "slow.percent", base.slow_percent),
        error_percent=settings.number(key + "error.percent", base.error_percent),
        max_stat_failures=settings.integer(key + "max.stat.failures", base.max_stat_failures),
        recovery_coefficient=settings.number(key + "recovery.coef", base.recovery_coefficient),
        slow_latency_hdd=settings.duration(key + "slow.latency.hdd", base.slow_latency_hdd),
        slow_latency_ssd=settings.duration(key + "slow.latency.ssd", base.slow_latency_ssd),
        slow_latency_nvme=settings.duration(key + "slow.latency.nvme", base.slow_latency_nvme),
    )
