"""RPCs that read and write records and files, to ``weed volume`` and to fastvol: equal answers.

The calls are made in order; the volumes hold the same objects. Times differ, and are left out with
the bytes that hold them.
"""

from collections.abc import Iterator
from typing import Final

import pytest
from cluster import FASTVOL, Server, joined, master_server, started, volume_server, weed
from daemons import wait_until
from http_calls import put
from rpc_caller import Caller

pytestmark = pytest.mark.interop

_MIB: Final = 1 << 20
_ALL: Final = 0xFFFFFFFF

# Records of volume 1, version 3: one with name, mime, TTL and pairs; a plain one; an empty one; one
# that is overwritten; one that is deleted; and one of 3 MiB.
CALLS: Final[list[tuple[str, str]]] = [
    ("AllocateVolume", "volume_id:1 version:3"),
    ("AllocateVolume", "volume_id:2 version:3 collection:'c'"),
    ("AllocateVolume", "volume_id:3 version:2"),
    # Records by their place.
    *(
        ("ReadNeedleMeta", f"volume_id:1 needle_id:1 offset:{offset} size:{size}")
        for offset, size in (
            (8, 80),
            (8, 81),
            (8, 0),
            (0, 1),
            (1 << 40, 5),
            (-8, 5),
            (8, -1),
            (16, 4),
        )
    ),
    ("ReadNeedleMeta", "volume_id:9 offset:8"),
    *(
        ("ReadNeedleBlob", f"volume_id:1 offset:{offset} size:{size}")
        for offset, size in ((1 << 40, 5), (-8, 5), (8, -1), (8, 1 << 30))
    ),
    ("ReadNeedleBlob", "volume_id:9 offset:8"),
    ("WriteNeedleBlob", "volume_id:9 needle_id:1"),
    ("WriteNeedleBlob", "volume_id:1 needle_id:7 size:-1"),
    ("WriteNeedleBlob", "volume_id:1 needle_id:7 size:-1 needle_blob:'abc'"),
    ("WriteNeedleBlob", "volume_id:1 needle_id:7 size:3 needle_blob:'abc'"),
    ("WriteNeedleBlob", "volume_id:1 needle_id:7 size:3 needle_blob:'0123456789abcdef'"),
    ("WriteNeedleBlob", "volume_id:1 needle_id:7 size:5 needle_blob:'CCCCIIIIIIII\\0\\0\\0\\005'"),
    (
        "WriteNeedleBlob",
        "volume_id:1 needle_id:7 needle_blob:'CCCC\\0\\0\\0\\0\\0\\0\\0\\007\\0\\0\\0\\000"
        "\\0\\0\\0\\0TTTTTTTTPPPP'",
    ),
    ("VolumeNeedleStatus", "volume_id:1 needle_id:7"),
    ("VolumeStatus", "volume_id:1"),
    # Files.
    *(
        ("CopyFile", f"volume_id:1 compaction_revision:{_ALL} {rest}")
        for rest in (
            "ext:'.dat' stop_offset:10",
            "ext:'.dat' stop_offset:8",
            "ext:'.dat'",
            "ext:'.missing' stop_offset:1",
            "ext:'.missing'",
            "ext:'.missing' stop_offset:1 ignore_source_file_not_found:true",
            "ext:'.dat' stop_offset:18446744073709551615",
            "ext:'.vif' stop_offset:1048576",
            "ext:'dat' stop_offset:1",
            "ext:'.' stop_offset:1",
            "ext:'./../1.dat' stop_offset:1",
            "ext:'.d/t' stop_offset:1",
            "ext:'' stop_offset:1",
            "ext:'.d\\303\\244t' stop_offset:1",
            "ext:'.dat\\n' stop_offset:1",
            "ext:'.dat' stop_offset:1 collection:'..'",
            "ext:'.dat' stop_offset:1 collection:'a/b'",
            "ext:'.dat' stop_offset:1 collection:'a\\\\b'",
            "ext:'.dat' stop_offset:1 collection:'other'",
        )
    ),
    ("CopyFile", "volume_id:1 ext:'.dat' stop_offset:4"),
    ("CopyFile", "volume_id:1 ext:'.dat' stop_offset:4 compaction_revision:1"),
    ("CopyFile", "volume_id:9 ext:'.dat' stop_offset:4"),
    ("CopyFile", "volume_id:9 ext:'.ec00' stop_offset:4 is_ec_volume:true"),
    ("CopyFile", "volume_id:9 ext:'.ec00' is_ec_volume:true"),
    (
        "CopyFile",
        "volume_id:9 ext:'.ec00' stop_offset:4 is_ec_volume:true ignore_source_file_not_found:true",
    ),
    ("CopyFile", "volume_id:2 ext:'.dat' stop_offset:4 is_ec_volume:true collection:'c'"),
    ("CopyFile", "volume_id:2 ext:'.dat' stop_offset:4 is_ec_volume:true"),
    # Streams.
    ("VolumeIncrementalCopy", "volume_id:9"),
    ("VolumeIncrementalCopy", "volume_id:1 since_ns:18446744073709551615"),
    ("VolumeIncrementalCopy", "volume_id:2"),
    ("VolumeTailSender", "volume_id:9"),
    ("VolumeTailSender", "volume_id:2 idle_timeout_seconds:1"),
    ("VolumeTailSender", "volume_id:1 since_ns:18446744073709551615 idle_timeout_seconds:1"),
    ("ReadAllNeedles", "volume_ids:1"),
    ("ReadAllNeedles", "volume_ids:2"),
    ("ReadAllNeedles", ""),
    ("ReadAllNeedles", "volume_ids:2 volume_ids:9 volume_ids:1"),
    ("ReadAllNeedles", "volume_ids:3"),
    # Files put here.
    ("ReceiveFile", "file_content:'abc'"),
    ("ReceiveFile", ""),
    ("ReceiveFile", "info{volume_id:1 ext:'.new'};;file_content:'abc';;file_content:'def'"),
    ("CopyFile", f"volume_id:1 ext:'.new' stop_offset:10 compaction_revision:{_ALL}"),
    ("ReceiveFile", "info{volume_id:1 ext:'.new'}"),
    ("CopyFile", f"volume_id:1 ext:'.new' stop_offset:10 compaction_revision:{_ALL}"),
    (
        "ReceiveFile",
        "info{volume_id:1 ext:'.n1'};;file_content:'abc';;info{volume_id:1 ext:'.n2'};;"
        "file_content:'de'",
    ),
    ("CopyFile", f"volume_id:1 ext:'.n1' stop_offset:10 compaction_revision:{_ALL}"),
    ("CopyFile", f"volume_id:1 ext:'.n2' stop_offset:10 compaction_revision:{_ALL}"),
    ("ReceiveFile", "info{volume_id:1 ext:'.n3'};;file_content:'abc';;info{volume_id:1 ext:'/n'}"),
    ("CopyFile", f"volume_id:1 ext:'.n3' stop_offset:10 compaction_revision:{_ALL}"),
    ("ReceiveFile", "info{volume_id:1 ext:'../x'};;file_content:'abc'"),
    ("ReceiveFile", "info{volume_id:1 ext:'.x' collection:'../y'};;file_content:'abc'"),
    ("ReceiveFile", "info{volume_id:9 ext:'.dat'};;file_content:'abc'"),
    ("ReceiveFile", "info{volume_id:9 ext:'.dat' disk_type:'ssd'};;file_content:'abc'"),
    ("ReceiveFile", "info{volume_id:9 ext:'.dat' disk_type:'hdd'};;file_content:'abc'"),
    (
        "ReceiveFile",
        "info{volume_id:9 ext:'.ec00' is_ec_volume:true collection:'e'};;file_content:'ab'",
    ),
    ("CopyFile", "volume_id:9 ext:'.ec00' stop_offset:10 is_ec_volume:true collection:'e'"),
    ("CopyFile", "volume_id:9 ext:'.ec00' stop_offset:10 is_ec_volume:true"),
    ("ReceiveFile", "info{volume_id:9 ext:'.ec01' is_ec_volume:true disk_id:99}"),
    (
        "ReceiveFile",
        "info{volume_id:9 ext:'.dat' disk_type:'hdd' collection:'e'};;file_content:'abc'",
    ),
    # Copies from others.
    *(
        (name, f"volume_id:{volume_id} {field}:'{source}'")
        for name, field, volume_id in (
            ("VolumeCopy", "source_data_node", 1),
            ("VolumeTailReceiver", "source_volume_server", 9),
        )
        for source in (
            "",
            "127.0.0.1:1",
            "localhost:1",
            "169.254.169.254:80",
            "[::1]:8080",
            "x",
            "a b:80",
            "metadata:80",
            "metadata.google.internal:80.90",
            "0.0.0.0:80",
            "no-such-host.invalid:80",
            "224.0.0.1:80",
            "[::ffff:127.0.0.1]:80",
            "[64:ff9b::127.0.0.1]:80",
            "[2002:7f00:1::]:80",
            "http://x:80",
            "x/y:80",
            "[fe80::1]:80",
            "[::]:80",
            "[ff01::1]:80",
            "[::127.0.0.1]:80",
            "::1:80",
        )
    ),
    # Scrubs.
    *(
        ("ScrubVolume", f"mode:{mode} volume_ids:{which}")
        for mode in ("INDEX", "FULL", "LOCAL", "READS")
        for which in (2, "2 volume_ids:2 volume_ids:3", 3)
    ),
    ("ScrubVolume", ""),
    ("ScrubVolume", "mode:CHECKSUM"),
    ("ScrubVolume", "volume_ids:9"),
    ("ScrubVolume", "mode:FULL volume_ids:2 volume_ids:9"),
    ("ScrubVolume", "mode:INDEX"),
    ("ScrubVolume", "mode:FULL volume_ids:2 mark_broken_volumes_readonly:true"),
    ("VolumeStatus", "volume_id:2"),
    # Settings.
    ("VolumeConfigure", "volume_id:1 replication:'bad-replication'"),
    ("VolumeConfigure", "volume_id:1 replication:'001'"),
    ("VolumeSyncStatus", "volume_id:1"),
    ("VolumeConfigure", "volume_id:1 replication:'1'"),
    ("VolumeSyncStatus", "volume_id:1"),
    ("CopyFile", f"volume_id:1 ext:'.vif' stop_offset:1000 compaction_revision:{_ALL}"),
    ("VolumeConfigure", "volume_id:1"),
    ("VolumeSyncStatus", "volume_id:1"),
    ("VolumeConfigure", "volume_id:9 replication:'000'"),
    ("VolumeConfigure", "volume_id:9"),
    ("VolumeConsolidateIndex", "volume_id:1"),
    ("VolumeConsolidateIndex", "volume_id:9"),
    # In maintenance mode.
    ("SetState", "state{maintenance:true}"),
    ("WriteNeedleBlob", "volume_id:9"),
    ("CopyFile", "volume_id:9 ext:'.dat' stop_offset:4"),
]

_NO_HOST: Final = "Go names the name server that it asked"

DIFFERENT: Final[dict[tuple[str, str], str]] = {
    ("VolumeCopy", "volume_id:1 source_data_node:'no-such-host.invalid:80'"): _NO_HOST,
    ("VolumeTailReceiver", "volume_id:9 source_volume_server:'no-such-host.invalid:80'"): _NO_HOST,
}
"""Calls whose texts differ on purpose, and why; their codes are equal."""


def prepare(server: Server) -> None:
    kind = {"Content-Type": "x/y", "Seaweed-k": "v"}
    port = server.port
    assert put(port, "1,0111223344?ts=1700000000&ttl=7d", b"data", **kind).status == 201
    assert put(port, "1,0211223344?ts=1700000000", b"plain").status == 201
    assert put(port, "1,0311223344?ts=1700000000", b"").status == 201
    assert put(port, "1,0411223344?ts=1700000000", b"old").status == 201
    assert put(port, "1,0411223344?ts=1700000000", b"new and longer").status == 201
    assert put(port, "1,0611223344?ts=1700000000", b"big" * _MIB).status == 201
    assert put(port, "3,0111223344?ts=1700000000", b"version 2").status == 201


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
            server = volume_server(program, base, base / name, [master.port])
            with started(server):
                server.ready()
                wait_until(lambda server=server: joined(master, server), "it has joined")
                found[name] = converse(server, master)
    yield found


def converse(server: Server, master: Server) -> list[tuple[str, str, bool]]:
    caller = Caller(server, master)
    found = []
    for number, (name, text) in enumerate(CALLS):
        if number == 3:
            prepare(server)
        found.append(caller.call(name, text))
    return found


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[f"{n} {t[:60]}" for n, t in CALLS])
def test_a_call_is_answered_as_by_the_real_server(answers: Answers, number: int) -> None:
    theirs, ours = answers["weed"][number], answers["fastvol"][number]
    if CALLS[number] in DIFFERENT:
        assert ours[0] == theirs[0]
    else:
        assert ours == theirs
