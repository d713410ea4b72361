"""Comparing two replicas of a volume: by their live needles, not by how their files lie.

Two replicas that took the same changes in another order, or of which one was vacuumed, are the same
volume.  What counts of a needle is its id, cookie, body size and checksum as stored; whether the
payload still has that checksum is a matter of the scrub.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fastvol._cffi.compact_map import CompactMap
from fastvol._cffi.compare import Difference, Kind, NativeComparison
from fastvol.errors import StorageError, VolumeDamagedError
from fastvol.limits import COMPARE_DETAILS_MAX, COMPARE_STEP_NEEDLES
from fastvol.volume.files import VolumeFiles
from fastvol.volume.raw_files import RawFiles
from fastvol.volume.unrepaired import unrepaired

__all__ = ["Comparison", "Difference", "Kind", "compare_files", "compare_raw"]


@dataclass(slots=True)
class Comparison:
    """How two replicas differ: how many needles are of each kind, and the first differences."""

    counts: dict[Kind, int]
    differences: list[Difference] = field(default_factory=list)

    @property
    def needles(self) -> int:
        """Ids that are live in at least one of them."""
        return sum(self.counts.values())

    @property
    def different(self) -> int:
        """Those that are not the same in both."""
        return self.needles - self.counts[Kind.EQUAL]

    @property
    def omitted(self) -> int:
        """Differences that are counted but not listed."""
        return self.different - len(self.differences)


def compare_files(
    a: VolumeFiles,
    b: VolumeFiles,
    *,
    differences_max: int = COMPARE_DETAILS_MAX,
    on_progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Compares the files of two volumes without opening them as volumes; nothing is repaired.

    Args:
        differences_max: so many are listed; all are counted.
        on_progress: told how many needles have been compared.

    Raises:
        VolumeDamagedError: a file cannot be opened, or an index not be loaded.
    """
    with unrepaired(a, needs_index=True) as raw_a, unrepaired(b, needs_index=True) as raw_b:
        return compare_raw(raw_a, raw_b, differences_max=differences_max, on_progress=on_progress)


def compare_raw(
    a: RawFiles,
    b: RawFiles,
    *,
    differences_max: int = COMPARE_DETAILS_MAX,
    on_progress: Callable[[int], None] | None = None,
) -> Comparison:
    """As :func:`compare_files`, of files that are open."""
    native = NativeComparison(
        (_needle_map(a), _needle_map(b)), (a.dat_fd, b.dat_fd), (a.version, b.version)
    )
    differences: list[Difference] = []
    more = True
    while more:
        describe = len(differences) < differences_max
        more, found = native.step(COMPARE_STEP_NEEDLES, describe=describe)
        differences += found[: differences_max - len(differences)]
        if on_progress:
            on_progress(sum(native.counts().values()))
    return Comparison(native.counts(), differences)


def _needle_map(raw: RawFiles) -> CompactMap:
    needle_map = CompactMap()
    try:
        needle_map.load(raw.idx_fd, raw.offset_width, raw.version)
    except StorageError as error:
        raise VolumeDamagedError(f"{raw.files.idx}: {error}") from error
    return needle_map
