"""Replica placements: texts, the byte, the JSON of /status."""

import pytest

from fastvol.formats.replica_placement import ReplicaPlacement


@pytest.mark.parametrize(
    ("text", "printed", "byte", "copies"),
    [
        ("", "000", 0, 1),
        ("1", "001", 1, 2),
        ("12", "012", 12, 4),
        ("200", "200", 200, 3),
        ("0019", "001", 1, 2),
        (":", "00:", 10, 11),
    ],
)
def test_texts(text: str, printed: str, byte: int, copies: int) -> None:
    placement = ReplicaPlacement.parse(text)
    assert (str(placement), placement.to_byte(), placement.copy_count) == (printed, byte, copies)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0/1", "unknown replication type: 0/1"),
        ("-1", "unknown replication type: 0-1"),
        ("-", "unknown replication type: 00-"),
        ("é", "unexpected replication type: 0é"),
        ("999", "unexpected replication type: 999"),
        ("9z9", "unexpected replication type: 9z9"),
        ("256", "unexpected replication type: 256"),
    ],
)
def test_texts_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        ReplicaPlacement.parse(text)


def test_every_byte_means_something() -> None:
    for byte in range(256):
        placement = ReplicaPlacement.from_byte(byte)
        assert placement.to_byte() == byte
        assert ReplicaPlacement.parse(str(placement)) == placement


def test_json_leaves_zeros_out() -> None:
    assert ReplicaPlacement().to_json() == {}
    assert ReplicaPlacement(1, 2, 3).to_json() == {"node": 3, "rack": 2, "dc": 1}
