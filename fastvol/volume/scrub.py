"""Scrubbing a volume: what its index and its records look like on disk, whatever a server believes.

Both files are read anew through descriptors of their own, in steps; between two steps the scrub
pays its throttle, tells its progress and looks whether it was cancelled.  A live volume goes on
taking writes meanwhile: only what was there at the start is looked at.

Findings, their words and their order are those of ``weed/storage/volume_checking.go: ScrubIndex,
Scrub`` and ``weed/storage/idx/check.go: CheckIndexFile``.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final

from fastvol._cffi import fault as native
from fastvol._cffi import scrub as core
from fastvol._cffi.fault import NativeFaultError
from fastvol._cffi.scrub import NativeScrub, ScrubFinding
from fastvol.errors import FastvolError, StorageError, VolumeDamagedError
from fastvol.formats.index_entry import row_size
from fastvol.formats.super_block import SUPER_BLOCK_BYTES
from fastvol.limits import SCRUB_DETAILS_MAX, SCRUB_STEP_BYTES
from fastvol.volume.faults import VolumeNames, read_error
from fastvol.volume.files import VolumeFiles, open_file
from fastvol.volume.raw_files import raw_files
from fastvol.volume.throttle import Throttle
from fastvol.volume.volume import Volume

_SAMPLE_TRIES: Final = 100
_SAMPLE_SECONDS: Final = 0.001
_THROTTLED_STEPS_A_SECOND: Final = 10


class ScrubMode(IntEnum):
    """``volume_server_pb.VolumeScrubMode``; for regular volumes the last three are the same."""

    INDEX = 1
    FULL = 2
    LOCAL = 3
    READS = 5


class ScrubCancelledError(FastvolError):
    """The caller asked for an end before the scrub was through."""


@dataclass(frozen=True, slots=True)
class ScrubProgress:
    """How far one volume's scrub is."""

    volume_id: int
    rows: int
    rows_read: int
    bytes_read: int
    findings: int


@dataclass(slots=True)
class ScrubResult:
    """What scrubbing one volume, or several added up, gave.

    ``details`` are the first findings, one sentence each; ``omitted`` counts the others.
    ``total_files`` counts index rows, deletions and overwritten ones too.
    """

    total_volumes: int = 0
    total_files: int = 0
    bytes_read: int = 0
    broken_volume_ids: list[int] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    omitted: int = 0
    details_max: int = SCRUB_DETAILS_MAX

    @property
    def findings(self) -> int:
        """All of them."""
        return len(self.details) + self.omitted

    def note(self, detail: str) -> None:
        """One more finding."""
        if len(self.details) < self.details_max:
            self.details.append(detail)
        else:
            self.omitted += 1

    def add(self, other: "ScrubResult") -> None:
        """Counts another volume's result in."""
        self.total_volumes += other.total_volumes
        self.total_files += other.total_files
        self.bytes_read += other.bytes_read
        self.broken_volume_ids += other.broken_volume_ids
        for detail in other.details:
            self.note(detail)
        self.omitted += other.omitted


@dataclass(slots=True)
class ScrubControl:
    """How a scrub runs beside other work; one may serve several volumes."""

    throttle: Throttle = field(default_factory=lambda: Throttle(0))
    on_progress: Callable[[ScrubProgress], None] | None = None
    cancelled: Callable[[], bool] | None = None
    details_max: int = SCRUB_DETAILS_MAX

    @property
    def step_bytes(self) -> int:
        """Work between two pauses: a throttled scrub must not read in bursts."""
        rate = self.throttle.bytes_per_second
        return (
            min(SCRUB_STEP_BYTES, max(1, rate // _THROTTLED_STEPS_A_SECOND))
            if rate
            else (SCRUB_STEP_BYTES)
        )


@dataclass(frozen=True, slots=True)
class ScrubTarget:
    """Two open files and what is to be found in them; sizes in bytes."""

    volume_id: int
    dat_path: Path
    idx_path: Path
    dat_fd: int
    idx_fd: int
    dat_size: int
    idx_size: int
    version: int
    offset_width: int


def parse_mode(number: int) -> ScrubMode:
    """The mode with this number; :exc:`StorageError` in upstream's words when there is none."""
    try:
        return ScrubMode(number)
    except ValueError:
        raise StorageError(f"unsupported volume scrub mode {number}") from None


def scrub_volume(
    volume: Volume, mode: ScrubMode, control: ScrubControl | None = None
) -> ScrubResult:
    """Scrubs a live volume as it is now; what is appended meanwhile is none of it.

    Raises:
        ScrubCancelledError
        StorageError: the volume is closed, or its data file cannot be opened.
    """
    control = control or ScrubControl()
    try:
        with _live_target(volume) as target:
            return scrub_target(target, mode, control)
    except _NoIndexError as error:
        return _broken(volume.id, str(error), control)


def scrub_files(
    files: VolumeFiles,
    mode: ScrubMode,
    control: ScrubControl | None = None,
    *,
    offset_width: int = 0,
) -> ScrubResult:
    """Scrubs a volume's files without opening it as a volume, so nothing is repaired.

    Raises:
        ScrubCancelledError
        VolumeDamagedError: the data file cannot be opened, or has no super block.
    """
    control = control or ScrubControl()
    if not files.data(".idx").exists() and not files.index(".idx").exists():
        path = files.index(".idx")
        return _broken(files.volume_id, _no_index(path, files.volume_id, "no such file"), control)
    with raw_files(files, offset_width=offset_width) as raw:
        target = ScrubTarget(
            files.volume_id,
            raw.files.data(".dat"),
            raw.files.index(".idx"),
            raw.dat_fd,
            raw.idx_fd,
            raw.dat_size,
            raw.idx_size,
            raw.version,
            raw.offset_width,
        )
        return scrub_target(target, mode, control)


def scrub_target(target: ScrubTarget, mode: ScrubMode, control: ScrubControl) -> ScrubResult:
    """Scrubs two open files.

    Raises:
        ScrubCancelledError
    """
    result = ScrubResult(total_volumes=1, details_max=control.details_max)
    if target.idx_size == 0 and target.dat_size > SUPER_BLOCK_BYTES:
        result.note(
            f"zero-size IDX file for volume {target.volume_id} with store size {target.dat_size}"
        )
    else:
        _Scrub(target, mode, control, result).run()
    if result.findings:
        result.broken_volume_ids.append(target.volume_id)
    return result


class _Scrub:
    """One volume's scrub under way."""

    def __init__(
        self, target: ScrubTarget, mode: ScrubMode, control: ScrubControl, result: ScrubResult
    ) -> None:
        self._target = target
        self._control = control
        self._result = result
        self._reads_records = mode is not ScrubMode.INDEX
        self._size_compared = False
        self._native = NativeScrub(
            dat_fd=target.dat_fd,
            idx_fd=target.idx_fd,
            idx_size=target.idx_size,
            version=target.version,
            offset_width=target.offset_width,
            read_records=self._reads_records,
        )
        self._names = VolumeNames(
            target.volume_id, target.version, target.dat_path, target.idx_path
        )

    def run(self) -> None:
        target, result = self._target, self._result
        spent = 0
        more = True
        while more:
            if self._control.cancelled and self._control.cancelled():
                raise ScrubCancelledError(f"scrub of volume {target.volume_id} was cancelled")
            try:
                more = self._step()
            except OSError as error:
                result.note(
                    f"failed to read IDX file {target.idx_path} for volume {target.volume_id}: "
                    f"{os.strerror(error.errno or 0).lower()}"
                )
                more = False
            now = self._native.progress()
            self._tell(now)
            self._control.throttle.spend(now.bytes_read - spent)
            spent = now.bytes_read
        now = self._native.progress()
        self._compare_index_size()
        if self._reads_records:
            self._compare_data_size(now.rows, now.records_bytes)
        result.total_files = now.rows
        result.bytes_read = now.bytes_read

    def _step(self) -> bool:
        result = self._result
        before = self._native.progress()
        describe = len(result.details) < result.details_max
        more, found = self._native.step(self._control.step_bytes, describe=describe)
        for finding in found:
            if finding.kind != core.OVERLAP:
                self._compare_index_size()
            result.note(self._words(finding))
        if not describe:
            result.omitted += self._native.progress().findings - before.findings
        return more

    def _tell(self, now: core.ScrubProgress) -> None:
        if self._control.on_progress:
            self._control.on_progress(
                ScrubProgress(
                    self._target.volume_id,
                    now.rows,
                    now.rows_read,
                    now.bytes_read,
                    self._result.findings,
                )
            )

    def _words(self, finding: ScrubFinding) -> str:
        volume_id = self._target.volume_id
        if finding.kind == core.OVERLAP:
            return (
                f"needle {finding.needle_id} (#{finding.row}) at "
                f"[{finding.start}-{finding.last}] overlaps needle {finding.other_id} at "
                f"[{finding.other_start}-{finding.other_last}]"
            )
        if finding.kind == core.WRONG_ID:
            return (
                f"index key {finding.needle_id:x} does not match needle's Id "
                f"{finding.found_id:x} on volume {volume_id}"
            )
        assert finding.kind == core.UNREADABLE
        return (
            f"failed to read needle {finding.needle_id} on volume {volume_id}: "
            f"{self._reason(finding)}"
        )

    def _reason(self, finding: ScrubFinding) -> str:
        fault = NativeFaultError(
            finding.code,
            sys_errno=finding.sys_errno,
            part=finding.part,
            found_id=finding.fault_id,
            found_size=finding.fault_size,
            computed=finding.computed,
            stored=finding.stored,
            offset=finding.start,
        )
        if finding.code == native.BAD_NEEDLE:
            return f"invalid needle size {finding.want_size}: size invalid"
        if finding.code == native.IO_ERROR:
            return f"read {self._target.dat_path}: {fault.os_text}"
        return str(
            read_error(fault, self._names, needle_id=finding.found_id, want_size=finding.want_size)
        )

    def _compare_index_size(self) -> None:
        """Comes behind the overlaps and before the records; the numbers change places upstream."""
        if self._size_compared:
            return
        self._size_compared = True
        width = row_size(self._target.offset_width)
        size = self._target.idx_size
        if size % width:
            self._result.note(f"expected an index file of size {size}, got {size // width * width}")

    def _compare_data_size(self, count: int, records_bytes: int) -> None:
        size, want = self._target.dat_size, SUPER_BLOCK_BYTES + records_bytes
        volume_id = self._target.volume_id
        if size < want:
            self._result.note(
                f"data file for volume {volume_id} is smaller ({size}) than the {count} needles "
                f"it contains ({want})"
            )
        elif size > want:
            self._result.note(
                f"data file size for volume {volume_id} ({size}) doesn't match the size for "
                f"{count} needles read ({want})"
            )


# --- a live volume's files ------------------------------------------------------------------------


class _NoIndexError(StorageError):
    """The index cannot be opened; that is a finding."""


def _no_index(path: Path, volume_id: int, reason: str) -> str:
    return f"failed to open IDX file {path} for volume {volume_id}: open {path}: {reason}"


def _broken(volume_id: int, detail: str, control: ScrubControl) -> ScrubResult:
    result = ScrubResult(total_volumes=1, details_max=control.details_max)
    result.note(detail)
    result.broken_volume_ids.append(volume_id)
    return result


@contextmanager
def _live_target(volume: Volume) -> Iterator[ScrubTarget]:
    """The files of an open volume, and their sizes at one moment."""
    dat_path, idx_path = volume.files.data(".dat"), volume.files.index(".idx")
    owned: list[int] = []
    try:
        for _ in range(_SAMPLE_TRIES):
            owned += _open_both(volume.id, dat_path, idx_path)
            dat_fd, idx_fd = owned[-2:]
            if _is_served(volume, dat_fd):
                break
            # A vacuum has put others in their place between the two.
            while owned:
                os.close(owned.pop())
            time.sleep(_SAMPLE_SECONDS)
        else:
            raise VolumeDamagedError(f"{dat_path} is not the file that is being served")
        dat_size, idx_size = _sizes(volume, idx_fd)
        yield ScrubTarget(
            volume.id,
            dat_path,
            idx_path,
            dat_fd,
            idx_fd,
            dat_size,
            idx_size,
            volume.version,
            volume.offset_width,
        )
    finally:
        for fd in owned:
            os.close(fd)


def _open_both(volume_id: int, dat_path: Path, idx_path: Path) -> tuple[int, int]:
    try:
        dat_fd = open_file(dat_path, os.O_RDONLY)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise StorageError(f"open {dat_path}: {reason}") from error
    try:
        return dat_fd, open_file(idx_path, os.O_RDONLY)
    except OSError as error:
        os.close(dat_fd)
        reason = os.strerror(error.errno or 0).lower()
        raise _NoIndexError(_no_index(idx_path, volume_id, reason)) from error


def _is_served(volume: Volume, dat_fd: int) -> bool:
    ours, theirs = os.fstat(dat_fd), os.fstat(volume.native.dat_fd())
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)


def _sizes(volume: Volume, idx_fd: int) -> tuple[int, int]:
    """Data and index size that belong together.

    The sizes that the volume knows do, but an index that was damaged behind its back must be seen as
    it is on the disk; while a writer is at work, the two differ by the row that is on its way.
    """
    for _ in range(_SAMPLE_TRIES):
        stat = volume.stat()
        idx_size = os.fstat(idx_fd).st_size
        if stat.idx_size == idx_size:
            break
        if volume.stat().dat_size != stat.dat_size:
            continue
        time.sleep(_SAMPLE_SECONDS)
    else:
        width = row_size(volume.offset_width)
        if idx_size % width == 0 and idx_size > stat.idx_size:
            idx_size = stat.idx_size  # a writer that never rests
    return stat.dat_size, idx_size
