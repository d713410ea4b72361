"""The read-only state: every combination of facts, and what the C volume makes of it."""

from itertools import product
from pathlib import Path

import pytest
from volume_kit import create, needle

from fastvol.errors import StorageError, VolumeReadOnlyError
from fastvol.volume.write_gate import WriteGate


@pytest.mark.parametrize(
    ("damaged", "mark", "low"), list(product([False, True], [None, False, True], [False, True]))
)
def test_a_change_is_taken_when_no_fact_forbids_it(
    tmp_path: Path, damaged: bool, mark: bool | None, low: bool
) -> None:
    volume = create(tmp_path)
    volume.write(needle(1, b"x"))
    if damaged:
        volume.forbid_changes("broken")
    if mark is not None:
        volume._gate.mark(can_delete=mark)
    volume.disk_space_low = low
    assert volume.read_only is (damaged or mark is not None or low)
    assert volume.no_write_or_delete is (damaged or mark is False)
    assert volume.no_write_can_delete is (mark is True)
    assert volume.disk_space_low is low
    expected = ["broken"] * damaged + ["marked read-only by an operator"] * (mark is not None)
    expected += ["free disk space is below the minimum"] * low
    assert [reason.words for reason in volume.read_only_reasons] == expected
    assert _takes(lambda: volume.write(needle(2, b"x"))) is not volume.read_only
    assert _takes(lambda: volume.delete(1, 0, 0)) is not volume.no_write_or_delete


def _takes(change: object) -> bool:
    assert callable(change)
    try:
        change()
    except VolumeReadOnlyError:
        return False
    return True


def test_the_time_of_a_full_disk_is_that_of_its_beginning(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.disk_space_low = True
    first = volume.read_only_reasons
    volume.disk_space_low = True
    assert volume.read_only_reasons == first


def test_damage_outlasts_the_taking_away_of_a_mark(tmp_path: Path) -> None:
    volume = create(tmp_path)
    volume.mark_read_only(can_delete=False, persist=False)
    volume.forbid_changes("broken")
    volume._gate.unmark()
    assert volume.no_write_or_delete
    with pytest.raises(StorageError):
        volume.write(needle(1, b"x"))


def test_a_closed_gate_lets_go_of_the_c_volume(tmp_path: Path) -> None:
    volume = create(tmp_path)
    gate = volume._gate
    assert isinstance(gate, WriteGate)
    volume.close()
    assert gate._native is None
    gate.set_disk_space_low(True)
    gate.mark(can_delete=True)
    assert gate.read_only


def test_a_disk_that_fills_up_keeps_room_for_deletions(tmp_path: Path) -> None:
    """Blocks for tombstones and their rows are taken before the last ones are gone."""
    volume = create(tmp_path)
    volume.write(needle(1, b"x"))
    paths = [tmp_path / "7.dat", tmp_path / "7.idx"]
    before = [path.stat().st_size for path in paths]
    volume.disk_space_low = True
    for path, size in zip(paths, before, strict=True):
        assert path.stat().st_size == size
        assert path.stat().st_blocks * 512 >= size + 2048 * 17
    assert volume.delete(1, 0, 0)
