"""A stand-in for a volume: real files, no needles; everything a test wants to steer is settable."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from fastvol.errors import StorageError, VolumeDamagedError
from fastvol.formats import volume_info
from fastvol.formats.file_names import base_name
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.formats.volume_info import VolumeInfo

REMOVED = (".dat", ".idx", ".vif", ".note")
NO_REPLICAS = ReplicaPlacement()


@dataclass(eq=False)
class FakeVolume:
    id: int
    collection: str
    directory: Path
    index_directory: Path
    super_block: SuperBlock
    offset_width: int = 5
    disk_id: int = -1
    disk_type: str = "?"
    dat_size: int = 8
    idx_size: int = 0
    modified_at_second: int = 1700000000
    last_modified: float = 0
    compacting: bool = False
    quarantined: bool = False
    unavailable: bool = False
    no_write_or_delete: bool = False
    no_write_can_delete: bool = False
    disk_space_low: bool = False
    remote_storage: tuple[str, str] = ("", "")
    closed: bool = False
    marked_writable: int = 0
    synced: int = 0

    def __post_init__(self) -> None:
        self.counters = SimpleNamespace(
            file_count=0, deleted_count=0, content_size=0, deleted_size=0, max_file_key=0
        )

    @property
    def version(self) -> int:
        return self.super_block.version

    @property
    def read_only(self) -> bool:
        return self.no_write_or_delete or self.no_write_can_delete or self.disk_space_low

    def path(self, extension: str) -> Path:
        return self.directory / (base_name(self.collection, self.id) + extension)

    def is_empty(self) -> bool:
        assert self.disk_space_low, "writes must be held while looking"
        return self.dat_size <= 8

    def is_garbage_only(self) -> bool:
        assert self.disk_space_low, "writes must be held while looking"
        return 0 < self.counters.content_size <= self.counters.deleted_size

    def expired(self, size_limit: int, now: float) -> bool:
        minutes = self.super_block.ttl.minutes
        return bool(size_limit and minutes) and minutes < (now - self.last_modified) // 60

    def expired_long_enough(self, now: float) -> bool:
        minutes = self.super_block.ttl.minutes
        return now > self.last_modified + 60 * (minutes + min(minutes // 10, 10))

    def mark_read_only(self, *, can_delete: bool, persist: bool) -> None:
        self.no_write_or_delete = not can_delete
        self.no_write_can_delete = can_delete

    def mark_writable(self) -> None:
        self.marked_writable += 1
        self.no_write_or_delete = self.no_write_can_delete = False

    def sync(self) -> None:
        self.synced += 1

    def close(self) -> None:
        self.closed = True

    def destroy(self, *, keep_vif: bool = False, keep_remote_data: bool = False) -> None:
        if self.compacting:
            raise StorageError(f"volume {self.id} is compacting")
        self.close()
        for extension in REMOVED:
            if extension != ".vif" or not keep_vif:
                self.path(extension).unlink(missing_ok=True)
                index = self.index_directory / self.path(extension).name
                index.unlink(missing_ok=True)


def create_fake(
    directory: Path,
    index_directory: Path,
    collection: str,
    volume_id: int,
    *,
    replica_placement: ReplicaPlacement = NO_REPLICAS,
    ttl: TTL = EMPTY,
    version: int = 3,
    offset_width: int = 5,
    preallocate: int = 0,
) -> FakeVolume:
    if version not in (1, 2, 3):
        raise StorageError(f"volume super block version {version} is not supported")
    block = SuperBlock(version, replica_placement, ttl)
    volume = FakeVolume(volume_id, collection, directory, index_directory, block, offset_width)
    volume.path(".dat").write_bytes(block.to_bytes())
    (index_directory / volume.path(".idx").name).touch()
    volume_info.save(volume.path(".vif"), VolumeInfo(bytes_offset=offset_width))
    return volume


def open_fake(
    directory: Path,
    index_directory: Path,
    collection: str,
    volume_id: int,
    *,
    default_offset_width: int,
) -> FakeVolume:
    path = directory / (base_name(collection, volume_id) + ".dat")
    try:
        stored = path.read_bytes()
        block = SuperBlock.from_bytes(stored)
        info = volume_info.load(path.with_suffix(".vif")) or VolumeInfo()
    except (OSError, ValueError) as error:
        raise VolumeDamagedError(f"volume {path}: {error}") from error
    width = info.bytes_offset or default_offset_width
    volume = FakeVolume(volume_id, collection, directory, index_directory, block, width)
    volume.dat_size = len(stored)
    return volume
