"""What a volume is: its names, settings, numbers and read-only state, all free to ask for."""

from pathlib import Path

from fastvol._cffi.fault import NativeFaultError
from fastvol._cffi.volume import NativeVolume, VolumeStat
from fastvol.errors import VolumeClosedError
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import TTL
from fastvol.formats.volume_info import VolumeInfo
from fastvol.index.kinds import IndexKind, IndexOptions
from fastvol.remote.tier import RemoteData, Tier
from fastvol.volume import figures
from fastvol.volume.faults import VolumeNames, map_error
from fastvol.volume.figures import NeedleCounters
from fastvol.volume.files import VolumeFiles
from fastvol.volume.opened import OpenedVolume
from fastvol.volume.reasons import ReadOnlyReason
from fastvol.volume.write_gate import WriteGate


def remote_of(native: NativeVolume) -> RemoteData | None:
    """Where the data of a C volume lies, if not in its data file."""
    remote = native.elsewhere
    assert remote is None or isinstance(remote, RemoteData)
    return remote


class VolumeFacts:
    """The part of a volume that only tells; any thread may ask at any time."""

    __slots__ = (
        "_files",
        "_gate",
        "_index",
        "_names",
        "_native",
        "_stat_at_close",
        "_super_block_known",
        "_tier",
        "collection",
        "disk_id",
        "disk_type",
        "id",
        "info",
        "offset_width",
        "quarantined",
        "super_block",
        "unavailable_reason",
    )

    def __init__(self, opened: OpenedVolume) -> None:
        self.id = opened.files.volume_id
        self.collection = opened.files.collection
        self.disk_id = 0
        self.disk_type = ""
        self.quarantined = False
        self.unavailable_reason: str | None = opened.unavailable
        self._gate = WriteGate(opened)
        self._files: VolumeFiles
        self._names: VolumeNames
        self._native: NativeVolume | None
        self._stat_at_close: VolumeStat | None = None
        self.info: VolumeInfo
        self.super_block: SuperBlock
        self.offset_width: int
        self._index: IndexOptions
        self._tier: Tier | None
        self._super_block_known: bool
        self._install(opened)

    def _install(self, opened: OpenedVolume) -> None:
        """Takes over what was opened, the first time or anew."""
        self._files = opened.files
        self.info = opened.info
        self.super_block = opened.super_block
        self.offset_width = opened.offset_width
        self._index = opened.index
        self._names = VolumeNames(opened.files, opened.super_block.version)
        self._tier = opened.tier
        self._super_block_known = opened.super_block_known
        self._native = opened.native

    # --- what it is ---------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """Where the data file is."""
        return self._files.directory

    @property
    def index_directory(self) -> Path:
        """Where the index is."""
        return self._files.index_directory

    @property
    def files(self) -> VolumeFiles:
        """All file names."""
        return self._files

    @property
    def version(self) -> int:
        """Needle version, 1 to 3; the super block's."""
        return self.super_block.version

    @property
    def ttl(self) -> TTL:
        """The TTL that needles without one inherit."""
        return self.super_block.ttl

    @property
    def native(self) -> NativeVolume:
        """The C volume, for the fast read's table.

        Raises:
            VolumeClosedError
        """
        current = self._native
        if current is None:
            raise VolumeClosedError(f"volume {self.id} is closed")
        return current

    @property
    def map_kind(self) -> IndexKind:
        """Which needle map it was opened with."""
        return self._index.kind

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._native is None

    def stat(self) -> VolumeStat:
        """Counters and sizes now, or as they were when the volume was closed."""
        current = self._native
        if current is not None:
            return current.stat()
        assert self._stat_at_close is not None
        return self._stat_at_close

    @property
    def dat_size(self) -> int:
        """Size of the data file in bytes as this server knows it."""
        return self.stat().dat_size

    @property
    def idx_size(self) -> int:
        """Size of the index log in bytes."""
        return self.stat().idx_size

    @property
    def modified_at_second(self) -> int:
        """Modification time of the data file at open, then of the last append."""
        return self.stat().modified_second

    @property
    def last_append_at_ns(self) -> int:
        """AppendAtNs of the last record."""
        return self.stat().last_append_ns

    @property
    def last_modified_second(self) -> int:
        """What TTL expiry counts from: the newest write's time."""
        return self.stat().last_modified_second

    @property
    def counters(self) -> NeedleCounters:
        """The needle map's totals now."""
        return NeedleCounters.of(self.stat())

    @property
    def remote(self) -> RemoteData | None:
        """Where the data of a tiered volume lies."""
        current = self._native
        return None if current is None else remote_of(current)

    @property
    def remote_storage(self) -> tuple[str, str]:
        """(backend name, object key) of a tiered volume; empty for a local one."""
        if not self.info.files:
            return "", ""
        first = self.info.files[0]
        return first.backend_name, first.key

    def garbage_ratio(self) -> float:
        """Share of garbage by which the master decides to vacuum."""
        return figures.garbage_ratio(self.stat())

    def is_empty(self) -> bool:
        """Never written: only a super block, and nothing counted."""
        return figures.is_empty(self.stat())

    def is_garbage_only(self) -> bool:
        """Everything that was written is deleted; live empty files keep a volume."""
        if not figures.is_all_deleted(self.stat()):
            return False
        try:
            return not self.native.has_live_empty_file()
        except NativeFaultError as fault:
            raise map_error(fault, self._names) from None

    def expired(self, size_limit: int, now: float) -> bool:
        """Whether the volume's TTL has passed (weed/storage/volume.go: expired)."""
        return figures.is_expired(self.stat(), self.ttl, size_limit, now)

    def expired_long_enough(self, now: float) -> bool:
        """Whether it passed so long ago that the files may go (expiredLongEnough)."""
        return figures.is_expired_long_enough(self.stat(), self.ttl, now)

    # --- read-only state ----------------------------------------------------------------------

    @property
    def unavailable(self) -> bool:
        """A failed rollback left it unusable (marker file)."""
        return self.unavailable_reason is not None

    @property
    def no_write_or_delete(self) -> bool:
        """Takes no change at all."""
        return self._gate.no_write_or_delete

    @property
    def no_write_can_delete(self) -> bool:
        """Takes deletes only."""
        return self._gate.no_write_can_delete

    @property
    def disk_space_low(self) -> bool:
        """Its disk is too full for writes; deletes still work.

        Set, it waits for the write under way: none comes after it.
        """
        return self._gate.disk_space_low

    @disk_space_low.setter
    def disk_space_low(self, low: bool) -> None:
        self._gate.set_disk_space_low(low)

    def set_being_replaced(self, replaced: bool) -> None:
        """Takes no change while a copy that will take its place is on its way.

        Waits for the change under way.
        """
        self._gate.set_being_replaced(replaced)

    @property
    def read_only(self) -> bool:
        """Takes no writes, for whatever reason."""
        return self._gate.read_only

    @property
    def read_only_can_delete(self) -> bool:
        """Read-only by a mark that leaves deletes allowed."""
        return self._gate.no_write_can_delete and not self._gate.no_write_or_delete

    @property
    def read_only_reasons(self) -> list[ReadOnlyReason]:
        """All causes at this moment."""
        return self._gate.reasons
