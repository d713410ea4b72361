"""The server's state: weed's bytes, versions, failures that change nothing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.errors import StorageError
from fastvol.store import state
from fastvol.store.state import StoreState, decode_state, encode_state


def test_bytes_are_those_of_weed() -> None:
    assert encode_state(True, 1) == bytes.fromhex("08011001")
    assert encode_state(False, 2) == bytes.fromhex("1002")
    assert encode_state(False, 0) == b""


@given(st.booleans(), st.integers(0, 2**32 - 1))
def test_round_trip(maintenance: bool, version: int) -> None:
    assert decode_state(encode_state(maintenance, version)) == (maintenance, version)


def test_unknown_fields_are_passed_over() -> None:
    unknown = bytes.fromhex("1a03616263 21 0102030405060708 2d 01020304 3005")
    assert decode_state(unknown + bytes.fromhex("08011003")) == (True, 3)


@pytest.mark.parametrize("stored", ["08", "0880", "ff" * 11, "1a0561", "00", "0b", "0801 2d01"])
def test_what_is_no_message(stored: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_state(bytes.fromhex(stored))


@given(st.binary(max_size=40))
def test_garbage_parses_or_is_refused(stored: bytes) -> None:
    try:
        decode_state(stored)
    except ValueError:
        return


def test_updates_count_up_and_last(tmp_path: Path) -> None:
    path = tmp_path / "state.pb"
    kept = StoreState(path)
    kept.load()
    assert (kept.maintenance, kept.version) == (False, 0)
    kept.update(True, 0)
    assert path.read_bytes() == bytes.fromhex("08011001")
    with pytest.raises(
        StorageError, match=r"^version mismatch for VolumeServerState \(got 1, want 0\)$"
    ):
        kept.update(False, 0)
    assert kept.maintenance
    kept.update(False, 1)
    again = StoreState(path)
    again.load()
    assert (again.maintenance, again.version) == (False, 2)


def test_a_failed_save_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    kept = StoreState(tmp_path / "state.pb")
    monkeypatch.setattr(state, "replace_file", no_space)
    with pytest.raises(StorageError, match="No space left"):
        kept.update(True, 0)
    assert (kept.maintenance, kept.version) == (False, 0)


def test_a_broken_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "state.pb").write_bytes(b"\x08")
    with pytest.raises(StorageError, match="failed to parse store state from"):
        StoreState(tmp_path / "state.pb").load()
    with pytest.raises(StorageError, match="failed to read store state from"):
        StoreState(tmp_path).load()
