"""Remote storage by gRPC, to ``weed volume`` and to fastvol: equal answers, wrong calls above all.

The calls are made in order, each to a server of its own kind with the same volumes, and over the same
object store. One pair of servers trusts its callers, so that they may be sent to an endpoint on this
machine; the other does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cluster import FASTVOL, Server, joined, master_server, started, volume_server, weed
from daemons import wait_until
from http_calls import get, put
from object_store import BUCKET, KEY, SECRET, ObjectStore, object_store
from rpc_caller import Caller

pytestmark = pytest.mark.interop

_TRUSTING: Final = "-volume.allowUntrustedRemoteEndpoints"
_CONF: Final = (
    f"remote_conf{{type:'s3' name:'t' s3_access_key:'{KEY}' s3_secret_key:'{SECRET}' "
    "s3_region:'us-east-1' s3_endpoint:'ENDPOINT' s3_force_path_style:true}"
)
_AT: Final = f"remote_location{{name:'t' bucket:'{BUCKET}' path:'/PATH'}}"


def fetch(
    fields: str, *, conf: str = _CONF, path: str = "kib", at: str = _AT, volume_id: int = 1
) -> tuple[str, str]:
    location = at.replace("PATH", path)
    return "FetchAndWriteNeedle", f"volume_id:{volume_id} {fields} {conf} {location}"


def typed(kind: str, fields: str) -> str:
    return f"remote_conf{{type:'{kind}' name:'t' {fields}}}"


OBJECTS: Final = {"kib": bytes(range(256)) * 4, "large": b"large" * 1887437}

_WHOLE: Final = "needle_id:7 cookie:1 size:1024"

FORGET: Final = "the store loses the volumes"
"""No call of the server's."""

PREPARED: Final[list[tuple[str, str]]] = [
    ("AllocateVolume", "volume_id:1 version:3"),
    ("AllocateVolume", "volume_id:2 version:3 collection:'c'"),
    ("AllocateVolume", "volume_id:3 version:3"),
    ("AllocateVolume", "volume_id:4 version:3"),
]

TRUSTED: Final[list[tuple[str, str]]] = [
    # Up, in the order of the checks.
    ("VolumeTierMoveDatToRemote", "volume_id:9 destination_backend_name:'s3.default'"),
    ("VolumeTierMoveDatToRemote", "volume_id:1 collection:'x'"),
    ("VolumeTierMoveDatToRemote", "volume_id:2 destination_backend_name:'s3.default'"),
    ("VolumeTierMoveDatToRemote", "volume_id:1"),
    ("VolumeTierMoveDatToRemote", "volume_id:1 destination_backend_name:'s3.none'"),
    ("VolumeTierMoveDatToRemote", "volume_id:1 destination_backend_name:'s3.a.b'"),
    ("VolumeTierMoveDatToRemote", "volume_id:1 destination_backend_name:'rclone'"),
    ("VolumeTierMoveDatToRemote", "volume_id:3 destination_backend_name:'s3.badkey'"),
    ("VolumeStatus", "volume_id:3"),
    # Down.
    ("VolumeTierMoveDatFromRemote", "volume_id:9"),
    ("VolumeTierMoveDatFromRemote", "volume_id:1 collection:'x'"),
    ("VolumeTierMoveDatFromRemote", "volume_id:1"),
    # A tiered volume.
    ("VolumeTierMoveDatToRemote", "volume_id:3 destination_backend_name:'s3.default'"),
    ("VolumeTierMoveDatToRemote", "volume_id:3 destination_backend_name:'s3.default'"),
    ("VolumeTierMoveDatToRemote", "volume_id:3 destination_backend_name:'s3.none'"),
    ("VolumeUnmount", "volume_id:3"),
    ("VolumeMount", "volume_id:3"),
    ("VolumeStatus", "volume_id:3"),
    ("VolumeSyncStatus", "volume_id:3"),
    ("ReadNeedleBlob", "volume_id:3 offset:8 size:22"),
    ("ReadNeedleMeta", "volume_id:3 needle_id:1 offset:8 size:22"),
    ("ReadNeedleMeta", "volume_id:3 needle_id:1 offset:100000 size:22"),
    ("VolumeNeedleStatus", "volume_id:3 needle_id:1"),
    ("VolumeNeedleStatus", "volume_id:3 needle_id:99"),
    ("ReadAllNeedles", "volume_ids:3"),
    ("VolumeIncrementalCopy", "volume_id:3 since_ns:18446744073709551615"),
    ("VolumeTailSender", "volume_id:3 since_ns:18446744073709551615 idle_timeout_seconds:1"),
    ("ScrubVolume", "volume_ids:3 mode:FULL"),
    ("VacuumVolumeCompact", "volume_id:3"),
    ("ReadVolumeFileStatus", "volume_id:3"),
    ("VolumeConsolidateIndex", "volume_id:3"),
    ("WriteNeedleBlob", "volume_id:3 needle_id:7 size:0 needle_blob:'abc'"),
    ("BatchDelete", "file_ids:'3,0211223344'"),
    ("BatchDelete", "file_ids:'3,0311223300'"),
    ("BatchDelete", "file_ids:'3,0211223344' skip_cookie_check:true"),
    ("VolumeStatus", "volume_id:3"),
    fetch("needle_id:9 cookie:1 size:1024", volume_id=3),
    ("VacuumVolumeCheck", "volume_id:3"),
    ("CopyFile", "volume_id:3 ext:'.dat' stop_offset:10 compaction_revision:4294967295"),
    ("VolumeMarkWritable", "volume_id:3"),
    ("VolumeStatus", "volume_id:3"),
    ("VolumeMarkReadonly", "volume_id:3"),
    ("BatchDelete", "file_ids:'3,0311223344'"),
    ("VolumeMarkWritable", "volume_id:3"),
    ("ScrubVolume", "volume_ids:3 mode:INDEX"),
    ("VolumeTierMoveDatFromRemote", "volume_id:3 collection:'x'"),
    ("VolumeTierMoveDatFromRemote", "volume_id:3"),
    ("VolumeTierMoveDatFromRemote", "volume_id:3"),
    ("VolumeUnmount", "volume_id:3"),
    ("VolumeMount", "volume_id:3"),
    ("VolumeStatus", "volume_id:3"),
    # An object becomes a needle.
    fetch(_WHOLE, volume_id=9),
    fetch(_WHOLE, conf="", at="", volume_id=9),
    fetch(_WHOLE, conf=typed("does-not-exist", "")),
    fetch(_WHOLE, conf=typed("", "")),
    fetch(_WHOLE),
    fetch(_WHOLE),
    fetch("needle_id:7 cookie:2 size:1024"),
    fetch("needle_id:8 cookie:1 size:100 offset:100"),
    fetch("needle_id:8 cookie:1 size:100 offset:1000"),
    fetch("needle_id:8 cookie:1 size:100 offset:5000"),
    fetch("needle_id:8 cookie:1"),
    fetch("needle_id:8 cookie:1 size:5 offset:-5"),
    fetch("needle_id:8 cookie:1 size:1024 download_concurrency:3"),
    fetch("needle_id:9 cookie:1 size:9437185", path="large"),
    fetch("needle_id:9 cookie:1 size:9437186", path="large"),
    fetch(_WHOLE, path="missing"),
    fetch(_WHOLE, at="remote_location{name:'t' bucket:'none' path:'/kib'}"),
    fetch(_WHOLE, at="remote_location{name:'a\"b' bucket:'none' path:'/x'}"),
    fetch(_WHOLE, at="remote_location{bucket:'none' path:'/x' listing_cache_ttl_seconds:5}"),
    fetch(_WHOLE, conf=_CONF.replace(KEY, "nobody")),
    fetch(_WHOLE, conf=_CONF.replace(SECRET, "wrong")),
    fetch(_WHOLE, conf=_CONF.replace("ENDPOINT", "http://127.0.0.1:1")),
    fetch(f"{_WHOLE} replicas{{url:'127.0.0.1:1'}}"),
    fetch("needle_id:70 cookie:1 size:10 replicas{url:'127.0.0.1:1'}"),
    fetch("needle_id:7 cookie:3 size:1024 replicas{url:'127.0.0.1:1'}"),
    *(
        fetch(
            f"needle_id:{number} cookie:1 size:1024",
            conf=typed(
                kind,
                f"{prefix}_{key}:'{KEY}' {prefix}_{secret}:'{SECRET}' {prefix}_endpoint:'ENDPOINT'"
                + region * f" {prefix}_region:'us-east-1'",
            ),
        )
        for number, (kind, prefix, key, secret, region) in enumerate(
            (
                ("b2", "backblaze", "key_id", "application_key", True),
                ("contabo", "contabo", "access_key", "secret_key", True),
                ("filebase", "filebase", "access_key", "secret_key", False),
                ("storj", "storj", "access_key", "secret_key", False),
                ("tencent", "tencent", "secret_id", "secret_key", False),
                ("wasabi", "wasabi", "access_key", "secret_key", True),
            ),
            20,
        )
    ),
    ("VolumeTierMoveDatToRemote", "volume_id:4 destination_backend_name:'s3.default'"),
    (FORGET, ""),
    ("VolumeTierMoveDatFromRemote", "volume_id:4"),
    ("VolumeMarkReadonly", "volume_id:4"),
    fetch("needle_id:9 cookie:1 size:1024", volume_id=4),
    ("SetState", "state{maintenance:true}"),
    ("VolumeTierMoveDatToRemote", "volume_id:9"),
    ("VolumeTierMoveDatFromRemote", "volume_id:9"),
    fetch(_WHOLE, volume_id=9),
]

GUARDED: Final[list[tuple[str, str]]] = [
    fetch(_WHOLE),
    fetch(_WHOLE, volume_id=9),
    *(
        fetch(_WHOLE, conf=_CONF.replace("ENDPOINT", endpoint))
        for endpoint in (
            "127.0.0.1:1",
            "ftp://127.0.0.1",
            "http://",
            "http:///x",
            "http://metadata/x",
            "HTTP://Metadata.Google.Internal",
            "http://169.254.169.254",
            "http://10.1.2.3:80",
            "http://172.16.0.1",
            "http://192.168.1.1:9000/a",
            "http://100.64.0.1",
            "https://[::1]:80",
            "http://[fe80::1]",
            "http://[fd00::1]",
            "http://0.0.0.0",
            "http://224.0.0.1",
            "http://[64:ff9b::10.0.0.1]",
            "http://[2002:7f00:1::]",
            "http://localhost:1",
            " ",
        )
    ),
    fetch(_WHOLE, conf=typed("wasabi", "wasabi_endpoint:'http://10.0.0.1'")),
    fetch(_WHOLE, conf=typed("does-not-exist", "s3_endpoint:'http://10.0.0.1'")),
]

_NO_SDK: Final = "how the client library words it"
_NO_RANGE: Final = "upstream asks for a range that is none, and gets the whole object"
_COUNTED: Final = "a deletion in a tiered volume counts at once, not only when it is loaded again"

DIFFERENT: Final[dict[tuple[str, str], str]] = {
    fetch(_WHOLE, conf=_CONF.replace("ENDPOINT", "http://127.0.0.1:1")): _NO_SDK,
    fetch("needle_id:8 cookie:1"): _NO_RANGE,
    fetch("needle_id:8 cookie:1 size:5 offset:-5"): _NO_RANGE,
    ("VacuumVolumeCheck", "volume_id:3"): _COUNTED,
    ("VacuumVolumeCompact", "volume_id:3"): "it says why there is no data file",
}
"""Calls whose texts differ on purpose, and why; their codes are equal."""

Answers = dict[str, list[tuple[str, str, bool]]]


@pytest.fixture(name="store", scope="module")
def store_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("objects")) as found:
        for key, data in OBJECTS.items():
            found.put(key, data)
        yield found


@pytest.fixture(name="answers", scope="module")
def answers_fixture(tmp_path_factory: pytest.TempPathFactory, store: ObjectStore) -> Answers:
    """What both servers answer to all calls."""
    base = tmp_path_factory.mktemp("rpc")
    backends = (
        store.master_toml(),
        # Upstream has one session for each region of an endpoint.
        store.master_toml(backend="s3.badkey", aws_access_key_id="nobody", region="other"),
    )
    (base / "master.toml").write_text("".join(backends))
    master = master_server(base)
    found: Answers = {}
    with started(master):
        master.ready("/cluster/status")
        for name, program in (("weed", weed(base)), ("fastvol", FASTVOL)):
            found[name] = [
                *converse(base, program, master, store, [*PREPARED, *TRUSTED], _TRUSTING),
                *converse(base, program, master, store, [PREPARED[0], *GUARDED]),
            ]
    return found


def converse(
    base: Path,
    program: list[str] | tuple[str, ...],
    master: Server,
    store: ObjectStore,
    calls: list[tuple[str, str]],
    *extra: str,
) -> list[tuple[str, str, bool]]:
    directory = base / f"{len(calls)}-{Path(program[0]).name}"
    server = volume_server(program, base, directory, [master.port], *extra)
    found = []
    with started(server):
        server.ready()
        wait_until(lambda: joined(master, server), "it has joined")
        caller = Caller(server, master)
        for number, (name, text) in enumerate(calls):
            if number == len(PREPARED) and extra:
                prepare(server)
            assert server.running.running, f"ended by {calls[number - 1]}"
            if name == FORGET:
                for key in store.keys() - OBJECTS.keys():
                    store.client.delete_object(Bucket=BUCKET, Key=key)
                found.append(("OK", "", False))
                continue
            code, told, has_id = caller.call(name, text.replace("ENDPOINT", store.endpoint))
            found.append((code, steady(told.replace(store.endpoint, "ENDPOINT")), has_id))
    return found


def prepare(server: Server) -> None:
    for volume_id in (1, 3):
        for number in (1, 2, 3):
            fid = f"{volume_id},0{number}11223344?ts=1700000000"
            assert put(server.port, fid, b"needle %d" % number).status == 201
    assert get(server.port, "/3,0111223344").status == 200


_IDS: Final = (
    (re.compile(r"request id: [\w-]*"), "request id: R"),
    (re.compile(r"host id: [\w-]*"), "host id: H"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"modified_time: \d+"), "modified_time: T"),
    (re.compile(r"supported: \[[^]]*\]"), "supported: []"),
    (re.compile(r"/\d+-(weed|python)\b"), "/DATA"),
    (re.compile(r"  +"), " "),
)


def steady(text: str) -> str:
    for pattern, word in _IDS:
        text = pattern.sub(word, text)
    return text


CALLS: Final = [*PREPARED, *TRUSTED, PREPARED[0], *GUARDED]


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[f"{n} {t[:60]}" for n, t in CALLS])
def test_a_call_is_answered_as_by_the_real_server(answers: Answers, number: int) -> None:
    theirs, ours = answers["weed"][number], answers["fastvol"][number]
    if CALLS[number] in DIFFERENT:
        assert ours[0] == theirs[0]
    elif CALLS[number] == ("VolumeStatus", "volume_id:3"):
        counted = " file_deleted_count: 1"
        assert (ours[0], ours[1].replace(counted, "")) == (
            theirs[0],
            theirs[1].replace(counted, ""),
        )
    else:
        assert ours == theirs


def test_a_deletion_counts_at_once(answers: Answers) -> None:
    """Of the three VolumeStatus calls while volume 3 is tiered only the last one shows it upstream."""
    asked = [n for n, call in enumerate(CALLS) if call == ("VolumeStatus", "volume_id:3")]
    shown = {
        name: ["file_deleted_count: 1" in answers[name][number][1] for number in asked]
        for name in answers
    }
    assert shown["weed"] == [False, False, False, True, True]
    assert shown["fastvol"] == [False, False, True, True, True]
