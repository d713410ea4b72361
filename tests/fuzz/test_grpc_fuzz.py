"""Any message to any method: the server lives, keeps to its directories, and has an answer of its own.

Messages are made from the descriptors, with a liking for volumes that are there, for numbers at the ends
of their ranges and for texts that mean something to somebody; others are bytes that are no message.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fastvol.cluster.stub import method_path
from fastvol.pb import volume_server_pb2 as pb

SERVICE: Final = pb.DESCRIPTOR.services_by_name["VolumeServer"]
BUILT: Final = ("AllocateVolume", "ReceiveFile", "CopyFile", "BatchDelete", "WriteNeedleBlob")
METHODS: Final = (
    *SERVICE.methods,
    *(SERVICE.methods_by_name[name] for name in (*BUILT, "ReceiveFile", "ReceiveFile")),
)
EXAMPLES: Final = 3000
START_SECONDS_MAX: Final = 30
CALL_SECONDS_MAX: Final = 10
FOLLOW_SECONDS_MAX: Final = 0.05
GRPC_OFFSET: Final = 10_000
KNOWN: Final = 77
"""A volume that nothing may harm."""
CONTENT: Final = {1: b"one", 2: b"two" * 1000, 3: b""}
COOKIE: Final = 0x11223344

SMALL: Final = (1, 2, 3)
"""Volumes that anything may be done to."""

FOLLOWING: Final = {"VolumeTailSender", "VolumeTailReceiver", "VolumeCopy"}
"""May last as long as they like."""
HARMING: Final = {
    "VolumeDelete",
    "VolumeUnmount",
    "DeleteCollection",
    "BatchDelete",
    "WriteNeedleBlob",
    "VolumeConfigure",
    "VolumeEcShardsDelete",
    "VolumeEcShardsToVolume",
    "VolumeTierMoveDatToRemote",
}
"""Not asked of the known volume: they may do what they are asked."""

_KNOWN_FID: Final = f"{KNOWN},01{COOKIE:08x}"
TEXTS: Final = (
    *(
        "",
        ".",
        "..",
        "/",
        "../../x",
        "/tmp/x",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "\x7f",
        "é",
        "𝄞",
        "c",
    ),
    *("known", "hdd", "ssd", "000", "001", "999", "0", "5m", "1y", "xyz", "9" * 30, "a" * 300),
    *(
        ".dat",
        ".idx",
        ".vif",
        ".note",
        ".unavailable",
        ".cpd",
        ".ecx",
        ".ec00",
        ".xyz",
        ".incoming",
    ),
    *("." + "a" * 300, ".d/../../x"),
    *(
        "1,0111223344",
        _KNOWN_FID,
        "1,",
        ",",
        "1",
        "1,01",
        "-1,0111223344",
        "1,01112233445566778899",
    ),
    *("4294967296,0111223344", "1,0111223344_5", "1,0111223344\n2,0111223344"),
    *("127.0.0.1:1", "127.0.0.1:1.2", "[::1]:80", "[::1", "1.2.3.4:5:6", "h:99999999", "h:x", ":1"),
    *(
        "169.254.169.254:80",
        "[fe80::1%25lo]:1",
        "[fe80::1%lo]:1",
        "0:1",
        "127.1:1",
        "a b:1",
        "metadata:1",
    ),
)
EDGES: Final = (0, 1, 2, 3, 7, 8, 16, 80, 127, 128, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
WIDE: Final = (1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
RECORD: Final = COOKIE.to_bytes(4) + (1).to_bytes(8) + (0).to_bytes(4) + bytes(16)

USUAL: Final = {
    "collection": ("", "known"),
    "ext": (".dat", ".idx", ".vif", ".note", ".cpd", ".cpc", ".ec00", ".ecx", ".xyz"),
    "version": (1, 2, 3),
    "replication": ("000", "", "010"),
    "ttl": ("", "5m"),
    "disk_type": ("", "hdd"),
    "compaction_revision": (0, 0xFFFFFFFF),
    "offset": (0, 8, 16),
    "needle_blob": (RECORD,),
    "target": ("", "127.0.0.1:1"),
}
"""Values with which something happens, by the name of the field."""

F = FieldDescriptor
_RANGES: Final = {
    F.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    F.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    F.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    F.CPPTYPE_UINT64: (0, (1 << 64) - 1),
    F.CPPTYPE_ENUM: (-2, 12),
}


def numbers(low: int, high: int) -> st.SearchStrategy[int]:
    """The ends of the range, those of others, and anything."""
    edges = {sign * edge for edge in (*EDGES, *WIDE) for sign in (1, -1)}
    return st.one_of(
        st.sampled_from(sorted({low, high} | {e for e in edges if low <= e <= high})),
        st.integers(low, high),
    )


def values(of: FieldDescriptor, method: str) -> st.SearchStrategy[Any]:
    """One value of a field."""
    if of.name in ("volume_id", "volume_ids"):
        ids = (*SMALL, *SMALL, 0, 9, (1 << 32) - 1, *(() if method in HARMING else (KNOWN,) * 4))
        return st.sampled_from(ids)
    if of.name in USUAL and method not in (() if of.name != "collection" else HARMING):
        usual = st.sampled_from(USUAL[of.name])
        return st.one_of(usual, usual, usual, _anything(of, method))
    return _anything(of, method)


def _anything(of: FieldDescriptor, method: str) -> st.SearchStrategy[Any]:
    if of.name == "preallocate":  # it would take the disk
        return st.sampled_from((0, -1, 1, (1 << 63) - 1, -(1 << 63)))
    if of.name in ("io_byte_per_second", "idle_timeout_seconds"):
        return st.sampled_from((0, 1, (1 << 31) - 1))
    if of.cpp_type == F.CPPTYPE_MESSAGE:
        return messages(of.message_type, method)
    if of.cpp_type == F.CPPTYPE_BOOL:
        return st.booleans()
    if of.type == F.TYPE_BYTES:
        return st.one_of(st.binary(max_size=64), st.just(RECORD), st.just(bytes(70_000)))
    if of.cpp_type == F.CPPTYPE_STRING:
        texts = [t for t in TEXTS if method not in HARMING or t not in ("known", _KNOWN_FID)]
        return st.one_of(
            st.sampled_from(texts),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
            st.text("ab./\\\0_", max_size=4),
        )
    if of.cpp_type in (F.CPPTYPE_FLOAT, F.CPPTYPE_DOUBLE):
        return st.floats(width=32)
    return numbers(*_RANGES[of.cpp_type])


def messages(kind: Descriptor, method: str) -> st.SearchStrategy[Any]:
    """Messages of this kind, each field there or not."""
    fields = {}
    for one in kind.fields:
        value = values(one, method)
        if one.is_repeated:
            value = st.lists(value, max_size=4)
        fields[one.name] = st.one_of(value, value, value, st.none())
    made = GetMessageClass(kind)
    whole = st.fixed_dictionaries(fields)
    for group in kind.oneofs:  # of which the last one given would always win
        names = {one.name for one in group.fields}
        whole = st.tuples(whole, st.sampled_from(sorted(names))).map(
            lambda found, names=names: {
                name: value
                for name, value in found[0].items()
                if name == found[1] or name not in names
            }
        )
    return whole.map(lambda given: made(**given))


def broken(message: bytes) -> st.SearchStrategy[bytes]:
    """A message cut off, with a byte changed, or with something behind it."""
    return st.one_of(
        st.integers(0, len(message)).map(lambda at: message[:at]),
        st.binary(min_size=1, max_size=8).map(lambda more: message + more),
        st.tuples(st.integers(0, len(message)), st.integers(0, 255)).map(
            lambda c: message[: c[0]] + bytes([c[1]]) + message[c[0] + 1 :]
        ),
    )


@st.composite
def calls(draw: Any) -> tuple[MethodDescriptor, list[bytes]]:
    """A method and the messages that it gets: one, unless it is a stream or the caller is odd."""
    method = draw(st.sampled_from(METHODS))
    made = messages(method.input_type, method.name).map(lambda m: m.SerializeToString())
    if method.name not in HARMING:
        made = st.one_of(made, made, made, made.flatmap(broken), st.binary(max_size=40))
    odd = draw(st.integers(0, 30)) == 0
    # Without any message a call that is no stream waits for one, as long as its caller does.
    least = 0 if method.client_streaming else 1
    count = draw(st.integers(least, 5)) if method.client_streaming or odd else 1
    return method, [draw(made) for _ in range(count)]


@dataclass
class Target:
    """A fastvol that is to survive."""

    base: Path
    port: int
    channel: grpc.Channel
    start: Callable[[], subprocess.Popen[bytes]]

    def __post_init__(self) -> None:
        self.process = self.start()

    def ready(self) -> None:
        grpc.channel_ready_future(self.channel).result(START_SECONDS_MAX)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(CALL_SECONDS_MAX)

    def restart(self) -> None:
        """As after a crash."""
        self.kill()
        self.process = self.start()
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.ask("GetState", pb.GetStateRequest())
                return
            except grpc.RpcError:
                assert time.monotonic() < deadline, self.log[-3000:]
                time.sleep(0.1)

    @property
    def log(self) -> str:
        return (self.base / "log").read_text(errors="replace")

    def call(self, method: MethodDescriptor, sent: Sequence[bytes], *, stay: bool = False) -> Any:
        """The answers as bytes; a refusal is raised."""
        follows = method.name in FOLLOWING and not stay
        answers = self.channel.stream_stream(method_path(method))(
            iter(sent), timeout=FOLLOW_SECONDS_MAX if follows else CALL_SECONDS_MAX
        )
        return list(answers)

    def ask(self, name: str, message: Any) -> list[bytes]:
        return self.call(SERVICE.methods_by_name[name], [message.SerializeToString()], stay=True)

    def refusal(self, method: MethodDescriptor, sent: Sequence[bytes]) -> grpc.RpcError | None:
        try:
            self.call(method, sent)
        except grpc.RpcError as error:
            return error
        return None

    def http(self, path: str, data: bytes | None = None) -> bytes:
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        asked.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(asked, timeout=CALL_SECONDS_MAX) as answer:
            return bytes(answer.read())

    def check(self) -> None:
        """It lives, and what is known is there."""
        assert self.process.poll() is None, self.log[-3000:]
        self.ask("SetState", self.calm())
        for key, data in CONTENT.items():
            assert self.http(fid(key)) == data
        for volume_id in SMALL:
            with suppress(grpc.RpcError, urllib.error.HTTPError):
                self.allocate(volume_id, "")
                self.http(f"/{volume_id},01{COOKIE:08x}", b"something")

    def allocate(self, volume_id: int, collection: str) -> None:
        self.ask(
            "AllocateVolume",
            pb.AllocateVolumeRequest(
                volume_id=volume_id, collection=collection, replication="000", version=3
            ),
        )

    def calm(self) -> Any:
        state = pb.GetStateResponse.FromString(self.ask("GetState", pb.GetStateRequest())[0]).state
        state.maintenance = False
        return pb.SetStateRequest(state=state)

    def outside(self) -> set[Path]:
        """Everything around its directory."""
        own = self.base / "data"
        return {path for path in self.base.rglob("*") if not path.is_relative_to(own)}


def fid(key: int) -> str:
    return f"/{KNOWN},{key:02x}{COOKIE:08x}"


def free_port() -> int:
    for port in range(21_000, 22_000):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + GRPC_OFFSET))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@pytest.fixture(name="target")
def target_fixture(tmp_path: Path) -> Iterator[Target]:
    port = free_port()
    command = [sys.executable, "-m", "fastvol.cli.main", "serve", f"-port={port}", "data"]
    environ = {"PYTHONPATH": ":".join(path for path in sys.path if path), "HOME": str(tmp_path)}

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=log, stderr=log)

    options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(f"127.0.0.1:{port + GRPC_OFFSET}", options=options) as channel:
        made = Target(tmp_path, port, channel, start)
        try:
            made.ready()
            made.allocate(KNOWN, "known")
            for key, data in CONTENT.items():
                made.http(fid(key), data)
            yield made
        finally:
            made.kill()


@pytest.mark.timeout(300)
def test_any_message_is_answered_and_harms_nothing(target: Target) -> None:
    around = target.outside()
    made = [0]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # the server is another one after every call
        suppress_health_check=list(HealthCheck),
    )
    @given(calls())
    def run(call: tuple[MethodDescriptor, list[bytes]]) -> None:
        method, sent = call
        refusal = target.refusal(method, sent)
        text = str(refusal.details()) if refusal is not None else ""
        assert "internal error" not in text, text
        if method.name not in FOLLOWING:
            assert refusal is None or refusal.code() != grpc.StatusCode.DEADLINE_EXCEEDED, text
        made[0] += 1
        if method.name == "SetState" or made[0] % 100 == 0:
            target.check()

    began = time.monotonic()
    run()
    target.check()
    target.restart()
    target.check()
    assert target.outside() == around
    assert "Traceback" not in target.log, target.log[-5000:]
    assert time.monotonic() - began < 240
