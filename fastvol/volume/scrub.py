"""Scrubbing a volume: what its index and its records look like on disk, whatever a server believes.

Both files are read anew through descriptors of their own, in steps; between two steps the scrub
pays its throttle, tells its progress and looks whether it was cancelled.  A live volume goes on
taking writes meanwhile: only what was there at the start is looked at.

Findings, their words and their order are those of ``weed/storage/volume_checking.go: ScrubIndex,
Scrub`` and ``weed/storage/idx/check.go: CheckIndexFile``.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from fastvol._cffi import fault as native
from fastvol._cffi import scrub as core
from fastvol._cffi.scrub import NativeScrub, ScrubFinding
from fastvol.errors import FastvolError, StorageError
from fastvol.formats.index_entry import row_size
from fastvol.formats.super_block import SUPER_BLOCK_BYTES
from fastvol.limits import SCRUB_DETAILS_MAX, SCRUB_STEP_BYTES
from fastvol.volume.facts import VolumeFacts
from fastvol.volume.faults import VolumeNames, read_error
from fastvol.volume.files import VolumeFiles
from fastvol.volume.live_files import live_files
from fastvol.volume.raw_files import NoIndexError, RawFiles
from fastvol.volume.throttle import Throttle
from fastvol.volume.unrepaired import unrepaired

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


def parse_mode(number: int) -> ScrubMode:
    """The mode with this number; :exc:`StorageError` in upstream's words when there is none."""
    try:
        return ScrubMode(number)
    except ValueError:
        raise StorageError(f"unsupported volume scrub mode {number}") from None


def scrub_volume(
    volume: VolumeFacts, mode: ScrubMode, control: ScrubControl | None = None
) -> ScrubResult:
    """Scrubs a live volume as it is now; what is appended meanwhile is none of it.

    Raises:
        ScrubCancelledError, VolumeClosedError
        VolumeDamagedError: its data file cannot be opened.
    """
    opening = live_files(volume, with_data=mode is not ScrubMode.INDEX)
    return _scrub(opening, volume.files, mode, control or ScrubControl())


def scrub_files(
    files: VolumeFiles, mode: ScrubMode, control: ScrubControl | None = None
) -> ScrubResult:
    """Scrubs a volume's files without opening it as a volume, so nothing is repaired.

    Raises:
        ScrubCancelledError
        VolumeDamagedError: the data file cannot be opened, or has no super block.
    """
    return _scrub(unrepaired(files, needs_index=True), files, mode, control or ScrubControl())


def _scrub(
    opening: AbstractContextManager[RawFiles],
    files: VolumeFiles,
    mode: ScrubMode,
    control: ScrubControl,
) -> ScrubResult:
    try:
        with opening as raw:
            return scrub_raw(raw, mode, control)
    except NoIndexError as error:
        result = ScrubResult(total_volumes=1, details_max=control.details_max)
        result.note(
            f"failed to open IDX file {files.index('.idx')} for volume {files.volume_id}: {error}"
        )
        result.broken_volume_ids.append(files.volume_id)
        return result


def scrub_raw(raw: RawFiles, mode: ScrubMode, control: ScrubControl) -> ScrubResult:
    """Scrubs two open files.

    Raises:
        ScrubCancelledError
    """
    result = ScrubResult(total_volumes=1, details_max=control.details_max)
    if raw.idx_size == 0 and raw.dat_size > SUPER_BLOCK_BYTES:
        result.note(
            f"zero-size IDX file for volume {raw.files.volume_id} with store size {raw.dat_size}"
        )
    else:
        _Scrub(raw, mode, control, result).run()
    if result.findings:
        result.broken_volume_ids.append(raw.files.volume_id)
    return result


class _Scrub:
    """One volume's scrub under way."""

    def __init__(
        self, raw: RawFiles, mode: ScrubMode, control: ScrubControl, result: ScrubResult
    ) -> None:
        self._raw = raw
        self._control = control
        self._result = result
        self._reads_records = mode is not ScrubMode.INDEX
        self._size_compared = False
        self._native = NativeScrub(
            dat_fd=raw.dat_fd,
            idx_fd=raw.idx_fd,
            idx_size=raw.idx_size,
            version=raw.version,
            offset_width=raw.offset_width,
            read_records=self._reads_records,
        )
        self._names = VolumeNames(raw.files, raw.version)

    def run(self) -> None:
        raw, result = self._raw, self._result
        spent = 0
        more = True
        while more:
            if self._control.cancelled and self._control.cancelled():
                raise ScrubCancelledError(f"scrub of volume {raw.files.volume_id} was cancelled")
            try:
                more = self._step()
            except OSError as error:
                result.note(
                    f"failed to read IDX file {raw.files.idx} for volume {raw.files.volume_id}: "
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
                    self._raw.files.volume_id,
                    now.rows,
                    now.rows_read,
                    now.bytes_read,
                    self._result.findings,
                )
            )

    def _words(self, finding: ScrubFinding) -> str:
        volume_id = self._raw.files.volume_id
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
        fault = finding.fault
        if fault.code == native.BAD_NEEDLE:
            return f"invalid needle size {finding.want_size}: size invalid"
        if fault.code == native.IO_ERROR:
            return f"read {self._raw.files.dat}: {fault.os_text}"
        return str(
            read_error(fault, self._names, needle_id=finding.found_id, want_size=finding.want_size)
        )

    def _compare_index_size(self) -> None:
        """Comes behind the overlaps and before the records; the numbers change places upstream."""
        if self._size_compared:
            return
        self._size_compared = True
        width = row_size(self._raw.offset_width)
        size = self._raw.idx_size
        if size % width:
            self._result.note(f"expected an index file of size {size}, got {size // width * width}")

    def _compare_data_size(self, count: int, records_bytes: int) -> None:
        size, want = self._raw.dat_size, SUPER_BLOCK_BYTES + records_bytes
        volume_id = self._raw.files.volume_id
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
