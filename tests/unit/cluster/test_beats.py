"""Beats are byte for byte those that a real 4.48 volume server sends."""

import asyncio
from types import SimpleNamespace

import pytest
from fake_node import NODE, UUID, FakeStore, volume_event

from fastvol.cluster.beats import BeatBuilder

FIRST_BEAT = (
    "0a 09 31 32 37 2e 30 2e 30 2e 31"  # ip
    "10 d0 c3 01"  # port
    "1a 0f 31 32 37 2e 30 2e 30 2e 31 3a 32 35 30 34 30"  # public_url
    "22 04 0a 00 10 10"  # max_volume_counts {"": 16}
    "60 01"  # has_no_volumes
    "98 01 01"  # has_no_ec_shards
    "a0 01 d1 c3 01"  # grpc_port
    f"aa 01 24 {UUID.encode().hex()}"  # location_uuids
    "b2 01 0f 31 32 37 2e 30 2e 30 2e 31 3a 32 35 30 34 30"  # id
    "ba 01 00"  # state, present though empty
    "c2 01 0d 12 04 66 61 73 74 12 03 73 73 64 20 10"  # disk_tags
    "ca 01 09 0a 00 10 80 a0 e7 f1 ef 07"  # disk_total_bytes
    "d2 01 09 0a 00 10 80 c0 80 82 b6 02"  # disk_free_bytes
    "d8 01 00"  # volume_digest, present though zero
)


def builder(store: FakeStore) -> BeatBuilder:
    return BeatBuilder(NODE, store)  # type: ignore[arg-type]


def test_the_first_beat_of_an_empty_server_has_the_observed_bytes() -> None:
    beat = asyncio.run(builder(FakeStore()).volume_beat(force_full=True))
    encoded = beat.SerializeToString(deterministic=True)
    assert encoded == bytes.fromhex(FIRST_BEAT)
    assert len(encoded) == 151


def test_delta_beats_have_the_observed_bytes() -> None:
    beats = builder(FakeStore())
    deleted = beats.delta_beat([volume_event("deleted", 1)])  # type: ignore[list-item]
    assert deleted.SerializeToString() == bytes.fromhex(
        "0a 09 31 32 37 2e 30 2e 30 2e 31 10 d0 c3 01 5a 04 08 01 48 03"
    )
    new = beats.delta_beat(
        [volume_event("new", 2, read_only=True, read_only_can_delete=True)]  # type: ignore[list-item]
    )
    assert new.SerializeToString() == bytes.fromhex(
        "0a 09 31 32 37 2e 30 2e 30 2e 31 10 d0 c3 01 52 0a 08 02 48 03 88 01 01 90 01 01"
    )


def test_a_delta_beat_of_both_kinds_is_refused_because_it_would_lose_their_order() -> None:
    events = [volume_event("new", 1), volume_event("deleted", 1)]
    with pytest.raises(AssertionError):
        builder(FakeStore()).delta_beat(events)  # type: ignore[arg-type]


def test_the_ec_beat_says_only_that_there_are_no_shards() -> None:
    assert builder(FakeStore()).ec_beat().SerializeToString() == bytes.fromhex("980101")


def test_the_farewell_empties_the_node() -> None:
    farewell = builder(FakeStore()).farewell()
    assert farewell.ip == "127.0.0.1"
    assert farewell.port == 25040
    assert farewell.has_no_volumes
    assert not farewell.HasField("volume_digest")


def test_a_volume_message_carries_every_field() -> None:
    store = FakeStore()
    fields = {
        "size": 152,
        "collection": "pics",
        "file_count": 5,
        "delete_count": 2,
        "deleted_byte_count": 23,
        "read_only": True,
        "replica_placement": 10,
        "version": 3,
        "ttl": 769,
        "compact_revision": 4,
        "modified_at_second": 1795333418,
        "remote_storage_name": "s3.default",
        "remote_storage_key": "key",
        "disk_type": "ssd",
        "disk_id": 1,
        "read_only_can_delete": True,
    }
    store.put(7, **fields)
    beat = asyncio.run(builder(store).volume_beat())
    (message,) = beat.volumes
    found = {field.name: value for field, value in message.ListFields()}
    assert found == {"id": 7, **fields}


def test_a_quiet_beat_is_not_an_empty_server() -> None:
    """Changed mode lists nothing when nothing changed; the flag would remove every volume."""
    store = FakeStore()
    store.put(1)
    beats = builder(store)
    beats.report.accept_deltas()

    async def scenario() -> None:
        first = await beats.volume_beat()
        assert [each.id for each in first.volumes] == [1]
        quiet = await beats.volume_beat()
        assert not quiet.volumes
        assert not quiet.changed_volumes
        assert not quiet.has_no_volumes
        assert quiet.HasField("volume_digest")
        assert quiet.volume_digest == first.volume_digest != 0

        store.volumes.clear()
        gone = await beats.volume_beat()
        assert [each.id for each in gone.deleted_volumes] == [1]
        assert not gone.has_no_volumes
        assert gone.volume_digest == 0

        beats.report.request_full()
        assert (await beats.volume_beat()).has_no_volumes

    asyncio.run(scenario())


def test_a_departed_volume_is_named_as_it_was_registered_and_without_flags() -> None:
    store = FakeStore()
    store.put(3, collection="c", replica_placement=1, ttl=769, disk_type="ssd", read_only=True)
    beats = builder(store)
    beats.report.accept_deltas()

    async def scenario() -> None:
        await beats.volume_beat()
        store.volumes.clear()
        (gone,) = (await beats.volume_beat()).deleted_volumes
        assert (gone.id, gone.collection, gone.replica_placement) == (3, "c", 1)
        assert (gone.ttl, gone.disk_type, gone.read_only) == (769, "ssd", False)

    asyncio.run(scenario())


def test_sampling_the_store_does_not_happen_on_the_event_loop() -> None:
    store = FakeStore()
    asyncio.run(builder(store).volume_beat())
    assert "MainThread" not in store.snapshot_threads


def test_maintenance_travels_with_the_beat() -> None:
    store = FakeStore()
    store.state = SimpleNamespace(maintenance=True, version=4)
    beat = asyncio.run(builder(store).volume_beat())
    assert (beat.state.maintenance, beat.state.version) == (True, 4)
