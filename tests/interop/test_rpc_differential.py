"""The same gRPC calls to ``weed volume`` and to fastvol: the same codes, texts and messages.

The calls are made in order on servers that begin empty. Figures of the machine and of the process
are left out; what differs on purpose stands in DIFFERENT.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from cluster import FASTVOL, Server, joined, master_server, started, volume_rpc, volume_server, weed
from daemons import wait_until
from http_calls import CALL_SECONDS_MAX, put
from rpc_caller import Caller

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

CALLS: Final[list[tuple[str, str]]] = [
    ("GetState", ""),
    ("SetState", ""),
    ("SetState", "state{maintenance:true version:5}"),
    ("SetState", "state{maintenance:true}"),
    ("GetState", ""),
    # In maintenance mode.
    ("AllocateVolume", "volume_id:1 version:3"),
    ("VolumeDelete", "volume_id:9"),
    ("DeleteCollection", "collection:'x'"),
    ("VolumeMount", "volume_id:9"),
    ("VolumeUnmount", "volume_id:9"),
    ("VolumeMarkWritable", "volume_id:9"),
    ("VolumeMarkReadonly", "volume_id:9"),
    ("BatchDelete", "file_ids:'1,ab'"),
    ("VacuumVolumeCheck", "volume_id:9"),
    ("SetState", "state{version:1}"),
    # Volumes come.
    ("AllocateVolume", "volume_id:1 version:3"),
    ("AllocateVolume", "volume_id:1 version:3"),
    ("AllocateVolume", "volume_id:1 version:0"),
    ("AllocateVolume", "volume_id:3 version:0"),
    ("AllocateVolume", "volume_id:3 version:4"),
    ("AllocateVolume", "volume_id:3 version:3 disk_type:'ssd'"),
    ("AllocateVolume", "volume_id:3 version:3 replication:'-1'"),
    ("AllocateVolume", "volume_id:3 version:3 replication:'1-1'"),
    ("AllocateVolume", "volume_id:3 version:3 replication:'999'"),
    ("AllocateVolume", "volume_id:3 version:3 replication:'\u00e9'"),
    ("AllocateVolume", "volume_id:3 version:3 ttl:'xd'"),
    (
        "AllocateVolume",
        "volume_id:2 version:3 disk_type:'HDD' replication:'010' ttl:'180m' collection:'c'",
    ),
    ("AllocateVolume", "volume_id:4 version:2 ttl:'5x' replication:'x'"),
    # What they are.
    *(
        (name, f"volume_id:{volume_id}")
        for name in ("VolumeStatus", "VolumeSyncStatus", "ReadVolumeFileStatus")
        for volume_id in (1, 2, 4, 9)
    ),
    # Objects: 1 with data, 2 empty, 3 deleted; see prepare().
    *(("VolumeNeedleStatus", f"volume_id:1 needle_id:{key}") for key in (1, 2, 3, 4)),
    ("VolumeNeedleStatus", "volume_id:9 needle_id:1"),
    ("VacuumVolumeCheck", "volume_id:1"),
    (
        "BatchDelete",
        "file_ids:'1,ab' file_ids:'abc,01637037d6' file_ids:'x' file_ids:',1' "
        "file_ids:'7,01637037d6' file_ids:'1,01637037d6_x' file_ids:'1,g1637037d6' "
        "file_ids:'1,0100000000' file_ids:'1,0211223344' file_ids:'1,0311223344' "
        "file_ids:'1,0111223344' file_ids:'1,0111223344'",
    ),
    (
        "BatchDelete",
        "skip_cookie_check:true file_ids:'1,ab' file_ids:'abc,01637037d6' "
        "file_ids:'7,01637037d6_1' file_ids:'1,0600000000' file_ids:'1,0600000000'",
    ),
    ("BatchDelete", ""),
    ("VolumeStatus", "volume_id:1"),
    ("VacuumVolumeCheck", "volume_id:1"),
    # Coming and going, and marks.
    ("VolumeUnmount", "volume_id:1"),
    ("VolumeUnmount", "volume_id:1"),
    ("VolumeStatus", "volume_id:1"),
    ("VolumeMount", "volume_id:1 collection:'wrong'"),
    ("VolumeMount", "volume_id:1 collection:''"),
    ("VolumeMount", "volume_id:9"),
    ("VolumeStatus", "volume_id:1"),
    ("ReadVolumeFileStatus", "volume_id:1"),
    ("VolumeMarkReadonly", "volume_id:1"),
    ("VolumeStatus", "volume_id:1"),
    ("VolumeMarkReadonly", "volume_id:1 can_delete:true persist:true"),
    ("ReadVolumeFileStatus", "volume_id:1"),
    ("VolumeMarkWritable", "volume_id:1"),
    ("ReadVolumeFileStatus", "volume_id:1"),
    ("VolumeMarkWritable", "volume_id:9"),
    ("VolumeMarkReadonly", "volume_id:9"),
    # Volumes go.
    ("VolumeDelete", "volume_id:1 only_empty:true"),
    ("VolumeDelete", "volume_id:1 only_garbage:true"),
    ("VolumeDelete", "volume_id:4 only_garbage:true"),
    ("VolumeDelete", "volume_id:4 only_garbage:true only_empty:true"),
    ("VolumeDelete", "volume_id:1"),
    ("VolumeDelete", "volume_id:1"),
    ("DeleteCollection", "collection:'nope'"),
    ("DeleteCollection", "collection:'c'"),
    ("VolumeStatus", "volume_id:2"),
    # Pings.
    ("Ping", ""),
    ("Ping", "target:'1.2.3.4:5' target_type:'master'"),
    ("Ping", "target:'1.2.3.4:5' target_type:'filer'"),
    ("Ping", "target:'MASTER' target_type:'master'"),
    ("Ping", "target:'MASTER.MASTER_GRPC' target_type:'master'"),
    ("Ping", "target:'x'"),
    ("Ping", "target_type:'master'"),
    ("VolumeServerStatus", ""),
]

_VERSION_2: Final = "a new volume of version 2 counts as 3 there until it is loaded again"

DIFFERENT: Final[dict[tuple[str, str], str]] = {
    ("Ping", "target_type:'master'"): "gRPC's own words for an address that is none",
    ("VolumeSyncStatus", "volume_id:4"): _VERSION_2,
    ("ReadVolumeFileStatus", "volume_id:4"): _VERSION_2,
}
"""Calls whose texts differ on purpose, and why; their codes are equal."""


def prepare(server: Server) -> None:
    """Objects for the calls that look at some; volume 1 exists by then."""
    kind = {"Content-Type": "x/y"}
    for key, data in ((1, b"data"), (2, b""), (3, b"deleted"), (6, b"live")):
        assert put(server.port, f"1,{key:02}11223344?ts=1700000000", data, **kind).status == 201
    with volume_rpc(server.port) as rpc:
        (result,) = rpc.BatchDelete(pb.BatchDeleteRequest(file_ids=["1,0311223344"])).results
        assert result.status == 202


Answers = dict[str, list[tuple[str, str, bool]]]


@pytest.fixture(name="answers", scope="module")
def answers_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """What both servers answer to all calls."""
    base = tmp_path_factory.mktemp("rpc")
    master = master_server(base)
    found: Answers = {}
    with started(master):
        master.ready("/dir/status")
        for name, program in (("weed", weed(base)), ("fastvol", FASTVOL)):
            server = volume_server(program, base, base / name, [master.port], "-dataCenter=dc")
            with started(server):
                server.ready()
                wait_until(lambda server=server: joined(master, server), "it has joined")
                found[name] = converse(server, master)
    yield found


def converse(server: Server, master: Server) -> list[tuple[str, str, bool]]:
    caller = Caller(server, master)
    found = []
    for name, text in CALLS:
        if name == "VolumeNeedleStatus" and text.endswith("1 needle_id:1"):
            prepare(server)
        found.append(caller.call(name, text))
    return found


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[f"{n} {t[:60]}" for n, t in CALLS])
def test_a_call_is_answered_as_by_the_real_server(answers: Answers, number: int) -> None:
    theirs, ours = answers["weed"][number], answers["fastvol"][number]
    if CALLS[number] in DIFFERENT:
        assert (ours[0], ours[2]) == (theirs[0], theirs[2])
    else:
        assert ours == theirs


def test_a_method_or_message_that_is_none(tmp_path: Path) -> None:
    """Clients go by the code."""
    master = master_server(tmp_path)
    codes: dict[str, list[Any]] = {}
    with started(master):
        for name, program in (("weed", weed(tmp_path)), ("fastvol", FASTVOL)):
            server = volume_server(program, tmp_path, tmp_path / name, [master.port])
            with started(server):
                server.ready()
                codes[name] = [raw_call(server, path, body) for path, body in RAW_CALLS]
    assert codes["fastvol"] == codes["weed"]


RAW_CALLS: Final = [
    ("/volume_server_pb.VolumeServer/Nope", b""),
    ("/foo.Bar/Baz", b""),
    ("/grpc.health.v1.Health/Check", b""),
    ("/volume_server_pb.VolumeServer/VolumeStatus", b"\xff\xff\xff"),
    ("/volume_server_pb.VolumeServer/DeleteCollection", b"\x0a\x01\xff"),
]


def raw_call(server: Server, path: str, body: bytes) -> grpc.StatusCode:
    with volume_rpc(server.port) as rpc, pytest.raises(grpc.RpcError) as refused:
        rpc._channel.unary_unary(path)(body, timeout=CALL_SECONDS_MAX, wait_for_ready=True)
    return refused.value.code()
