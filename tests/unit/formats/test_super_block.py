"""The super block: bytes that weed wrote, round trips, refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import EMPTY, TTL


@pytest.mark.parametrize(
    ("stored", "block"),
    [
        ("0300000000000000", SuperBlock(3, ReplicaPlacement(), EMPTY)),
        ("0301030300000000", SuperBlock(3, ReplicaPlacement.parse("001"), TTL.parse("3d"))),
        ("0300000000010000", SuperBlock(3, ReplicaPlacement(), EMPTY, 1)),
    ],
)
def test_what_weed_wrote(stored: str, block: SuperBlock) -> None:
    assert SuperBlock.from_bytes(bytes.fromhex(stored)) == block
    assert block.to_bytes().hex() == stored


@given(
    st.integers(1, 3),
    st.integers(0, 255),
    st.binary(min_size=2, max_size=2),
    st.integers(0, 65535),
    st.binary(max_size=40),
)
def test_round_trip(version: int, placement: int, ttl: bytes, revision: int, extra: bytes) -> None:
    extra = extra if version > 1 else b""
    block = SuperBlock(
        version, ReplicaPlacement.from_byte(placement), TTL.from_bytes(ttl), revision, extra
    )
    stored = block.to_bytes()
    assert len(stored) == block.block_size
    assert SuperBlock.from_bytes(stored + b"a needle") == block


def test_the_revision_wraps() -> None:
    block = SuperBlock(3, ReplicaPlacement(), EMPTY, 65536)
    assert block.to_bytes() == SuperBlock(3, ReplicaPlacement(), EMPTY).to_bytes()


@pytest.mark.parametrize("version", [0, 4, 255])
def test_unknown_versions_are_refused(version: int) -> None:
    with pytest.raises(ValueError, match=f"version {version} is not supported"):
        SuperBlock.from_bytes(bytes((version,)) + bytes(7))
    with pytest.raises(ValueError, match=f"version {version} is not supported"):
        SuperBlock(version, ReplicaPlacement(), EMPTY)


def test_short_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="only 7 bytes"):
        SuperBlock.from_bytes(bytes.fromhex("03000000000000"))
    with pytest.raises(ValueError, match="extra has 1 of 2 bytes"):
        SuperBlock.from_bytes(bytes.fromhex("0300000000000002ff"))
