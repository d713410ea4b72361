"""The digest must equal, bit by bit, the one that the master computes."""

from types import SimpleNamespace
from typing import Any

import pytest
from fake_node import volume_report

from fastvol.cluster import volume_digest
from fastvol.cluster.volume_digest import VolumeHasher, digest, volume_hash

FIRST = {
    "size": 152,
    "file_count": 2,
    "delete_count": 1,
    "deleted_byte_count": 23,
    "modified_at_second": 1795333431,
}
SECOND = {"collection": "pics", "ttl": 769, "modified_at_second": 1795333418}
FIRST_HASH = 6240248351057478856
SECOND_HASH = 1297815598622367583
READ_ONLY_HASH = 6688651854969570826


def report(volume_id: int, fields: dict[str, Any], **more: Any) -> SimpleNamespace:
    return volume_report(volume_id, **fields | more)


def test_hashes_are_those_of_a_real_server() -> None:
    assert volume_hash(report(1, FIRST)) == FIRST_HASH
    assert volume_hash(report(2, SECOND)) == SECOND_HASH
    both = report(1, FIRST, read_only=True, read_only_can_delete=True)
    assert volume_hash(both) == READ_ONLY_HASH


def test_digests_are_those_of_a_real_server() -> None:
    read_only = volume_hash(report(1, FIRST, read_only=True))
    assert digest([]) == 0
    assert digest([FIRST_HASH, SECOND_HASH]) == 4943567800924330903
    assert digest([read_only, SECOND_HASH]) == 14792072630638175436
    assert digest([READ_ONLY_HASH, SECOND_HASH]) == 5679066642506635605


@pytest.mark.parametrize("field", volume_digest.HASHED_FIELDS)
def test_every_covered_field_changes_the_hash(field: str) -> None:
    base = report(1, SECOND, replica_placement=1)
    value = getattr(base, field)
    change = {str: lambda: f"{value}x", bool: lambda: not value, int: lambda: value + 256}
    other = change[type(value)]()
    if field == "replica_placement":
        other = 110
    assert volume_hash(SimpleNamespace(**vars(base) | {field: other})) != volume_hash(base)


def test_the_remote_key_is_not_covered() -> None:
    assert volume_hash(report(1, FIRST, remote_storage_key="k")) == FIRST_HASH


def test_counts_are_clamped_to_32_bits() -> None:
    for field in ("file_count", "delete_count"):
        top = report(1, FIRST, **{field: 2**32 - 1})
        beyond = report(1, FIRST, **{field: 2**40})
        assert volume_hash(top) == volume_hash(beyond)


@pytest.mark.parametrize("ttl", [0x0300, 0x0001])
def test_a_ttl_without_count_or_unit_is_no_ttl(ttl: int) -> None:
    assert volume_hash(report(1, FIRST, ttl=ttl)) == FIRST_HASH


def test_an_impossible_replica_placement_hashes_to_zero() -> None:
    assert volume_hash(report(1, FIRST, replica_placement=256)) == 0


def test_only_changed_volumes_are_hashed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []

    def counting_hash(each: Any) -> int:
        hashed.append(each.id)
        return volume_hash(each)

    monkeypatch.setattr(volume_digest, "volume_hash", counting_hash)
    hasher = VolumeHasher()
    assert hasher.hash_all([report(1, FIRST), report(2, SECOND)]) == [FIRST_HASH, SECOND_HASH]
    assert hasher.hash_all([report(1, FIRST), report(2, SECOND)]) == [FIRST_HASH, SECOND_HASH]
    assert hashed == [1, 2]
    changed = report(1, FIRST, read_only=True, read_only_can_delete=True)
    assert hasher.hash_all([changed]) == [READ_ONLY_HASH]
    assert hashed == [1, 2, 1]
    hasher.hash_all([report(2, SECOND)])
    assert hashed == [1, 2, 1, 2], "a volume that was gone is not remembered"


def test_the_same_volume_on_two_disks_has_two_hashes() -> None:
    on_both = [report(1, FIRST), report(1, FIRST, disk_id=1)]
    hashes = VolumeHasher().hash_all(on_both)
    assert hashes[0] == FIRST_HASH != hashes[1]
