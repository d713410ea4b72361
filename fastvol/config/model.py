"""The frozen configuration that everything below is built from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fastvol.cluster.server_address import join_host_port
from fastvol.config.security import SecuritySettings, SecuritySource
from fastvol.config.settings import Settings
from fastvol.http.parts import ReadMode
from fastvol.index.kinds import IndexKind
from fastvol.store.options import LocationOptions

ReadVerify = Literal["always", "once"]


@dataclass(frozen=True, slots=True)
class DiskProbeConfig:
    """``volume.disk.io.*`` of volume.toml; times in seconds, ratios in percent."""

    enabled: bool = False
    timeout: float = 2
    interval: float = 60
    window: float = 60
    min_samples: int = 10
    slow_percent: float = 20
    error_percent: float = 10
    max_stat_failures: int = 5
    recovery_coefficient: float = 0.5
    slow_latency_hdd: float = 0.5
    slow_latency_ssd: float = 0.1
    slow_latency_nvme: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a server is told at its start; sizes in bytes, times in seconds."""

    ip: str
    bind_ip: str
    port: int
    grpc_port: int
    public_port: int
    """Equal to ``port`` when there is no second listener."""
    public_url: str
    server_id: str
    masters: tuple[str, ...] = ()
    """``host:port`` or ``host:port.grpcPort``; empty for a single node."""
    data_center: str = ""
    rack: str = ""

    locations: tuple[LocationOptions, ...]
    """Data directories; each exists and is writable."""
    index_directory: Path | None = None
    """One directory for all index files; None: beside the data."""
    index_kind: IndexKind = "memory"
    leveldb_idle_hours: int = 0
    offset_width: int | None = None
    """Bytes of an offset in new volumes; None: chosen from what is there."""

    pre_stop_seconds: int
    idle_timeout_seconds: int
    read_mode: ReadMode = "proxy"
    fast_read: bool = True
    fast_write: bool = True
    read_verify: ReadVerify = "always"
    has_slow_read: bool = True
    read_buffer_bytes: int
    file_size_max: int
    upload_bytes_in_flight_max: int = 0
    download_bytes_in_flight_max: int = 0
    upload_wait_seconds: float
    download_wait_seconds: float
    fix_image_orientation: bool = False
    compaction_bytes_per_second: int = 0
    maintenance_bytes_per_second: int = 0
    allow_untrusted_remote_endpoints: bool = False

    metrics_ip: str = ""
    metrics_port: int = 0
    debug_port: int = 0
    """0: no debug listener."""
    pprof: bool = False
    cpu_profile: str = ""
    memory_profile: str = ""

    security: SecuritySettings = field(default_factory=SecuritySettings)
    security_source: SecuritySource
    settings: Settings
    """The merged TOML tree; ``load_security`` starts from it on SIGHUP."""
    disk_probe: DiskProbeConfig = field(default_factory=DiskProbeConfig)

    single_node: bool = False
    """``fastvol serve``: no master; this server assigns ids and creates volumes itself."""
    volume_size_max: int = 0
    """Of a single node: a volume this large takes no new objects. 0: the master says."""

    @property
    def address(self) -> str:
        """``ip:port``, the name under which peers know this server."""
        return join_host_port(self.ip, self.port)

    @property
    def has_public_listener(self) -> bool:
        """Whether reads are served on a second port."""
        return self.public_port != self.port
