"""Copies of volumes from a source that does whatever it likes.

fastvol and ``weed volume`` are told to copy the same things.  What fastvol adds to the same outcome: a
copy that fails changes nothing, the volume that was here is read all the time, and what a crash leaves
is one of the two.
"""

from __future__ import annotations

import random
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from cluster import (
    FASTVOL,
    Server,
    allocate,
    master_server,
    started,
    volume_channel,
    volume_server,
    weed,
)
from daemons import wait_until
from http_calls import CALL_SECONDS_MAX, get, put
from scripted_source import CHANGED_NS, COOKIE, Script, Source, volume_script
from volume_kit import needle

from fastvol.cluster.stub import Stub
from fastvol.formats.needle import encode
from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

ALLOW: Final = "-volume.allowUntrustedRemoteEndpoints"
_MIB: Final = 1 << 20
OLD: Final = {key: b"old %d" % key for key in range(1, 6)}
NEW: Final = {key: b"new %d " % key * 1000 for key in range(3, 60)}
VOLUMES: Final = count(10)


@dataclass
class Target:
    """A server that copies, and where it keeps what it has."""

    server: Server
    directory: Path
    rpc: Stub
    source: Source

    def old_volume(self, collection: str = "") -> int:
        """A new volume with the old objects."""
        volume_id = next(VOLUMES)
        allocate(self.rpc, volume_id, collection)
        self.write(volume_id, OLD)
        return volume_id

    def write(self, volume_id: int, objects: dict[int, bytes]) -> None:
        for key, data in objects.items():
            assert put(self.server.port, fid(volume_id, key), data).status == 201

    def read(self, volume_id: int, keys: Any) -> dict[int, bytes | None]:
        found = {key: get(self.server.port, f"/{fid(volume_id, key)}") for key in keys}
        return {k: r.body if r.status == 200 else None for k, r in found.items()}

    def stream(self, volume_id: int, **fields: Any) -> Any:
        asked = pb.VolumeCopyRequest(
            volume_id=volume_id, source_data_node=self.source.address, **fields
        )
        return self.rpc.VolumeCopy(asked, timeout=CALL_SECONDS_MAX)

    def copy(self, volume_id: int, script: Script, **fields: Any) -> tuple[str, str, list[Any]]:
        """Code, text, and the messages."""
        self.source.script = script
        messages = []
        try:
            for message in self.stream(volume_id, **fields):
                messages.append(message)
        except grpc.RpcError as error:
            return error.code().name, str(error.details()), messages
        return "OK", "", messages

    def files_of(self, volume_id: int) -> set[str]:
        names = {path.name for path in self.directory.iterdir()}
        return {
            name.removeprefix(str(volume_id))
            for name in names
            if name.split(".")[0].rpartition("_")[2] == str(volume_id)
        }

    def holds_old(self, volume_id: int) -> None:
        """The old copy is as it was, takes writes, and nothing else is there."""
        assert self.read(volume_id, OLD) == OLD
        assert self.read(volume_id, [50]) == {50: None}
        self.write(volume_id, {99: b"written after the copy failed"})
        assert self.files_of(volume_id) == {".dat", ".idx", ".vif"}

    def holds_new(self, volume_id: int) -> None:
        assert self.read(volume_id, NEW) == NEW
        assert self.read(volume_id, [1, 2]) == {1: None, 2: None}
        self.write(volume_id, {99: b"written after the copy"})
        assert self.files_of(volume_id) == {".dat", ".idx", ".vif"}


def fid(volume_id: int, key: int) -> str:
    return f"{volume_id},{key:02x}{COOKIE:08x}"


@pytest.fixture(name="source", scope="module")
def source_fixture() -> Iterator[Source]:
    with Source().running() as source:
        yield source


@contextmanager
def targets(base: Path, source: Source, *programs: Any) -> Iterator[list[Target]]:
    master = master_server(base)
    servers = [
        volume_server(program, base, base / f"data-{number}", [master.port], ALLOW)
        for number, program in enumerate(programs)
    ]
    with started(master, *servers):
        master.ready("/dir/status")
        made = []
        for number, server in enumerate(servers):
            server.ready()
            made.append(Target(server, base / f"data-{number}", server_rpc(server), source))
        yield made


def server_rpc(server: Server) -> Stub:
    return Stub(volume_channel(server.port), pb.DESCRIPTOR.services_by_name["VolumeServer"])


@pytest.fixture(name="pair", scope="module")
def pair_fixture(
    tmp_path_factory: pytest.TempPathFactory, source: Source
) -> Iterator[tuple[Target, Target]]:
    """fastvol and weed."""
    base = tmp_path_factory.mktemp("pair")
    with targets(base, source, FASTVOL, weed(base)) as (ours, theirs):
        yield ours, theirs


@pytest.fixture(name="target")
def target_fixture(pair: tuple[Target, Target]) -> Target:
    return pair[0]


@pytest.fixture(name="new_files", scope="module")
def new_files_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes | None]:
    """A sound volume; nothing in its files says its id."""
    return volume_script(tmp_path_factory.mktemp("new") / "v", 1, NEW).files


MakeScript = Callable[..., Script]


@pytest.fixture(name="script")
def script_fixture(new_files: dict[str, bytes | None]) -> MakeScript:
    """The sound volume, except for what a test says."""

    def make(other: dict[str, bytes | None] | None = None, **fields: Any) -> Script:
        return Script({**new_files, **(other or {})}, **{"before": (len(NEW), 0), **fields})

    return make


def longer(content: bytes | None) -> bytes:
    return (content or b"") + bytes(64)


def shorter(content: bytes | None) -> bytes:
    return (content or b"")[:-64]


FAILURES: Final[dict[str, tuple[Callable[[MakeScript], Script], str]]] = {
    "it dies in the data file": (lambda s: s(dies_in=".dat"), "the source is gone"),
    "it dies in the index": (lambda s: s(dies_in=".idx"), "the source is gone"),
    "it dies in the description": (lambda s: s(dies_in=".vif"), "the source is gone"),
    "no data file": (lambda s: s({".dat": None}), "get dat file info failed"),
    "no data file, but a size": (
        lambda s: s({".dat": None}, announced={".dat": 900}),
        "get dat file info failed",
    ),
    "no index": (lambda s: s({".idx": None}), "no such file or directory"),
    "a shorter data file": (
        lambda s: s({".dat": shorter(s().files[".dat"])}, announced={".dat": size(s, ".dat")}),
        "is not same as origin file size",
    ),
    "a longer data file": (
        lambda s: s({".dat": longer(s().files[".dat"])}, announced={".dat": size(s, ".dat")}),
        "more than|is not same as origin file size",
    ),
    "a shorter index": (
        lambda s: s({".idx": shorter(s().files[".idx"])}, announced={".idx": size(s, ".idx")}),
        "is not same as origin file size",
    ),
    "a longer index": (
        lambda s: s({".idx": longer(s().files[".idx"])}, announced={".idx": size(s, ".idx")}),
        "more than|is not same as origin file size",
    ),
    "other counts": (lambda s: s(before=(len(NEW) + 1, 0)), "target file count"),
    "other deletions": (lambda s: s(before=(len(NEW), 1)), "target deleted count"),
    "compacted before the index": (lambda s: s(compacted_before=".idx"), "is compacted"),
    "compacted before the data": (lambda s: s(compacted_before=".dat"), "is compacted"),
    "no status at the end": (lambda s: s(no_status=2), "no status today"),
    "an empty data file": (lambda s: s({".dat": b""}), "failed to mount or validate volume"),
}


def size(script: MakeScript, extension: str) -> int:
    return len(script().files[extension] or b"")


@pytest.mark.parametrize("name", FAILURES)
def test_a_copy_that_fails_leaves_the_old_one(
    pair: tuple[Target, Target], script: MakeScript, name: str
) -> None:
    """Both servers tell the same kind of failure; fastvol still has what it had."""
    make, words = FAILURES[name]
    outcomes = []
    for target in pair:
        volume_id = target.old_volume()
        code, text, _ = target.copy(volume_id, make(script))
        outcomes.append((code, text))
        assert any(word in text for word in words.split("|")), text
    assert outcomes[0][0] == outcomes[1][0], outcomes
    volume_id = volume_id - 1
    pair[0].holds_old(volume_id)


@pytest.mark.parametrize("extension", [".dat", ".idx", ".vif"])
def test_a_copy_of_zeros_leaves_the_old_one(
    target: Target, script: MakeScript, extension: str
) -> None:
    """weed ends at such a data file."""
    volume_id = target.old_volume()
    code, text, _ = target.copy(volume_id, script({extension: bytes(size(script, extension))}))
    if extension == ".vif":  # and it says nothing that a copy is judged by
        assert code == "OK"
        assert target.read(volume_id, NEW) == NEW
        return
    assert (code, "failed to mount or validate volume" in text) == ("UNKNOWN", True), text
    target.holds_old(volume_id)


@pytest.mark.parametrize(
    "collection", ["../../outside", "..", "a/b", "/tmp/x", "a\\b", "a\0b", "x" * 300]
)
def test_a_collection_of_the_sources_is_no_path(
    target: Target, script: MakeScript, collection: str
) -> None:
    volume_id = target.old_volume()
    around = {str(path) for path in target.directory.parent.rglob("*")}
    code, text, _ = target.copy(volume_id, script(collection=collection))
    assert code == "UNKNOWN"
    assert "internal error" not in text
    target.holds_old(volume_id)
    found = {str(path) for path in target.directory.parent.rglob("*")} - around
    assert not [path for path in found if str(target.directory) not in path]


def test_a_collection_that_changes_takes_the_old_files_away(
    pair: tuple[Target, Target], script: MakeScript
) -> None:
    for target in pair:
        volume_id = target.old_volume("before")
        assert target.copy(volume_id, script(collection="after"))[0] == "OK"
        assert target.read(volume_id, NEW) == NEW
        assert {path.name for path in target.directory.glob(f"*_{volume_id}.*")} == {
            f"after_{volume_id}{extension}" for extension in (".dat", ".idx", ".vif")
        }


@pytest.mark.parametrize("is_there", [True, False])
def test_a_sound_copy_takes_the_place_of_the_old_one(
    pair: tuple[Target, Target], script: MakeScript, is_there: bool
) -> None:
    outcomes = []
    for target in pair:
        volume_id = target.old_volume() if is_there else next(VOLUMES)
        (target.directory / f"{volume_id}.unavailable").touch()
        code, _, messages = target.copy(volume_id, script())
        outcomes.append((code, messages))
        if target is pair[0]:
            target.holds_new(volume_id)
            status = (target.directory / f"{volume_id}.vif").stat()
            assert status.st_mtime_ns == CHANGED_NS
    assert outcomes[0] == outcomes[1]


def test_what_the_source_took_meanwhile_is_not_compared(
    pair: tuple[Target, Target], script: MakeScript
) -> None:
    for target in pair:
        volume_id = next(VOLUMES)
        changing = script(before=(1, 0), after=(2, 0))
        assert target.copy(volume_id, changing)[0] == "OK"
        assert target.read(volume_id, NEW) == NEW
        silent = script(before=(1, 0), no_status=1)
        assert target.copy(volume_id, silent)[0] == "OK"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modified_ns", -1),
        ("modified_ns", -(2**63)),
        ("modified_ns", 2**63 - 1),
        ("changed_seconds", 2**64 - 1),
    ],
)
def test_any_time_of_the_sources_is_taken(
    pair: tuple[Target, Target], script: MakeScript, field: str, value: int
) -> None:
    outcomes = []
    for target in pair:
        code, text, messages = target.copy(next(VOLUMES), script(**{field: value}))
        assert code == "OK", text
        outcomes.append(messages)
    assert outcomes[0] == outcomes[1]


def test_progress_is_told_every_128_mib(pair: tuple[Target, Target], script: MakeScript) -> None:
    """The data file is one record and a long hole."""
    outcomes = []
    for target in pair:
        data = (script().files[".dat"] or b"") + bytes(140 * _MIB)
        volume_id = next(VOLUMES)
        code, text, messages = target.copy(volume_id, script({".dat": data}, after=(0, 0)))
        assert code == "OK", text
        outcomes.append([message.processed_bytes for message in messages])
        target.rpc.VolumeDelete(pb.VolumeDeleteRequest(volume_id=volume_id))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) == 2


def test_a_copy_is_held_to_its_rate(target: Target, script: MakeScript) -> None:
    began = time.monotonic()
    data = (script().files[".dat"] or b"") + bytes(8 * _MIB)
    changing = script({".dat": data}, after=(0, 0))
    code, text, _ = target.copy(next(VOLUMES), changing, io_byte_per_second=4 * _MIB)
    assert code == "OK", text
    assert 1.5 < time.monotonic() - began < 6


def test_a_source_without_end_does_not_fill_the_disk(target: Target, script: MakeScript) -> None:
    volume_id = target.old_volume()
    code, text, _ = target.copy(volume_id, script(endless=True))
    assert (code, "more than the" in text) == ("UNKNOWN", True), text
    target.holds_old(volume_id)


def test_a_disk_that_takes_no_more_ends_the_copy(target: Target, script: MakeScript) -> None:
    """By a limit of the process: as on a full disk, a write is refused in the middle of the file."""
    volume_id = target.old_volume()
    data = (script().files[".dat"] or b"") + bytes(8 * _MIB)
    pid = target.server.running.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (3 * _MIB, before[1]))
    try:
        code, text, _ = target.copy(volume_id, script({".dat": data}))
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert code == "UNKNOWN"
    assert "failed to copy .dat file: write file" in text
    target.holds_old(volume_id)


# --- while a copy is under way --------------------------------------------------------------------


@dataclass
class Held:
    """A copy that waits in the middle of its data file."""

    target: Target
    volume_id: int
    script: Script
    call: Any

    def release(self) -> tuple[str, str]:
        """Code and text of its end."""
        assert self.script.hold is not None
        self.script.hold.set()
        try:
            for _ in self.call:
                pass
        except grpc.RpcError as error:
            return error.code().name, str(error.details())
        return "OK", ""


@contextmanager
def held(target: Target, volume_id: int, script: Script) -> Iterator[Held]:
    script.hold = threading.Event()
    target.source.script = script
    call = target.stream(volume_id)
    try:
        assert script.reached.wait(CALL_SECONDS_MAX)
        wait_until(
            lambda: any(target.directory.glob(f"*{volume_id}.incoming")) or None, "it has begun"
        )
        yield Held(target, volume_id, script, call)
    finally:
        script.hold.set()
        call.cancel()


def test_the_old_copy_is_read_and_not_written_meanwhile(target: Target, script: MakeScript) -> None:
    volume_id = target.old_volume()
    with held(target, volume_id, script(dies_in="")) as copy:
        assert target.read(volume_id, OLD) == OLD
        assert put(target.server.port, fid(volume_id, 50), b"x").status >= 400
        deleted = target.rpc.BatchDelete(
            pb.BatchDeleteRequest(file_ids=[fid(volume_id, 1)], skip_cookie_check=True)
        )
        assert deleted.results[0].status >= 400
        assert target.rpc.VolumeStatus(pb.VolumeStatusRequest(volume_id=volume_id)).is_read_only
        assert copy.release() == ("OK", "")
    target.holds_new(volume_id)


def test_a_volume_mounted_anew_meanwhile_takes_no_writes(
    target: Target, script: MakeScript
) -> None:
    """What it took would go with it."""
    volume_id = target.old_volume()
    with held(target, volume_id, script()) as copy:
        target.rpc.VolumeUnmount(pb.VolumeUnmountRequest(volume_id=volume_id))
        target.rpc.VolumeMount(pb.VolumeMountRequest(volume_id=volume_id))
        target.rpc.VolumeMarkWritable(pb.VolumeMarkWritableRequest(volume_id=volume_id))
        assert target.read(volume_id, OLD) == OLD
        assert put(target.server.port, fid(volume_id, 50), b"x").status >= 400
        assert copy.release() == ("OK", "")
    target.holds_new(volume_id)


@pytest.mark.parametrize("order", ["VolumeUnmount", "VolumeDelete"])
def test_the_old_copy_may_go_meanwhile(target: Target, script: MakeScript, order: str) -> None:
    volume_id = target.old_volume()
    with held(target, volume_id, script()) as copy:
        getattr(target.rpc, order)(getattr(pb, f"{order}Request")(volume_id=volume_id))
        assert copy.release() == ("OK", "")
    target.holds_new(volume_id)


def test_a_vacuum_meanwhile_is_no_harm(target: Target, script: MakeScript) -> None:
    volume_id = target.old_volume()
    target.write(volume_id, {1: b"overwritten"})
    with held(target, volume_id, script()) as copy:
        list(target.rpc.VacuumVolumeCompact(pb.VacuumVolumeCompactRequest(volume_id=volume_id)))
        target.rpc.VacuumVolumeCommit(pb.VacuumVolumeCommitRequest(volume_id=volume_id))
        assert target.read(volume_id, [1, 2]) == {1: b"overwritten", 2: OLD[2]}
        list(target.rpc.VacuumVolumeCompact(pb.VacuumVolumeCompactRequest(volume_id=volume_id)))
        assert copy.release() == ("OK", "")
    target.holds_new(volume_id)


def test_the_same_volume_is_not_copied_twice_at_a_time(target: Target, script: MakeScript) -> None:
    volume_id = target.old_volume()
    with held(target, volume_id, script()) as copy:
        code, text, _ = target.copy(volume_id, script())
        assert (code, "already" in text) == ("UNKNOWN", True)
        target.source.script = copy.script
        assert copy.release() == ("OK", "")
    target.holds_new(volume_id)


def test_the_id_of_a_copy_is_not_given_away(target: Target, script: MakeScript) -> None:
    volume_id = next(VOLUMES)
    with held(target, volume_id, script()) as copy:
        with pytest.raises(grpc.RpcError, match=f"Volume Id {volume_id} already exists!"):
            allocate(target.rpc, volume_id)
        assert copy.release() == ("OK", "")
    target.holds_new(volume_id)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.005, 0.02, 0.05])
def test_a_caller_who_leaves_ends_the_copy(
    target: Target, script: MakeScript, seconds: float
) -> None:
    """Also before it has begun."""
    volume_id = target.old_volume()
    waiting = script()
    waiting.hold = threading.Event()
    target.source.script = waiting
    call = target.stream(volume_id)
    time.sleep(seconds)
    call.cancel()
    wait_until(lambda: target.files_of(volume_id) == {".dat", ".idx", ".vif"}, "it has ended")
    wait_until(
        lambda: put(target.server.port, fid(volume_id, 98), b"x").status == 201, "it takes writes"
    )
    waiting.hold.set()
    target.holds_old(volume_id)


def test_readers_never_miss_an_object(target: Target, script: MakeScript) -> None:
    """Objects that both copies have are answered while one takes the place of the other."""
    both = {key: NEW[key] for key in (10, 11, 12)}
    volume_id = next(VOLUMES)
    allocate(target.rpc, volume_id)
    target.write(volume_id, both)
    over, failures = threading.Event(), []

    def read_on() -> None:
        while not over.is_set():
            found = target.read(volume_id, both)
            if found != both:
                failures.append(found)

    readers = [threading.Thread(target=read_on) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(8):
            code, text, _ = target.copy(volume_id, script())
            assert code == "OK", text
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert not failures, failures[:2]


# --- a crash --------------------------------------------------------------------------------------


def test_after_a_crash_one_of_the_two_is_there(
    tmp_path: Path, source: Source, script: MakeScript
) -> None:
    """Killed at many moments of a copy, and above all around its end."""
    chance = random.Random(7)
    with targets(tmp_path, source, FASTVOL) as (target,):
        found = {"old": 0, "new": 0}
        seconds = 0.05
        for number in range(14):
            volume_id = target.old_volume()
            source.script = script()
            call = target.stream(volume_id)
            time.sleep(seconds * chance.uniform(0, 1.2))
            target.server.kill()
            with suppress(grpc.RpcError):
                for _ in call:
                    pass
            target.server.start().ready()
            target.rpc = server_rpc(target.server)
            if target.read(volume_id, OLD) == OLD:
                found["old"] += 1
                target.holds_old(volume_id)
            else:
                found["new"] += 1
                target.holds_new(volume_id)
            # Towards the moment at which it changes.
            seconds *= 1.6 if found["new"] * 2 <= number else 0.7
        assert found["old"] and found["new"], (found, seconds)


# --- following a volume ---------------------------------------------------------------------------


def record(key: int, data: bytes) -> bytes:
    return bytes(encode(needle(key, data, cookie=COOKIE), 3))


def message(record: bytes, *, is_last: bool = True, version: int = 3) -> Any:
    return pb.VolumeTailSenderResponse(
        needle_header=record[:16], needle_body=record[16:], is_last_chunk=is_last, version=version
    )


TAILS: Final[dict[str, Callable[[], list[Any]]]] = {
    "sound": lambda: [message(record(1, b"first")), message(record(2, b"second"))],
    "a heartbeat": lambda: [pb.VolumeTailSenderResponse(is_last_chunk=True, version=3)],
    "a bad checksum": lambda: [
        message(record(1, b"first")),
        message(record(2, b"second").replace(b"second", b"Second")),
    ],
    "no end": lambda: [message(record(1, b"first")), message(record(2, b"s"), is_last=False)],
    "version 9": lambda: [message(record(1, b"first"), version=9)],
    "no version": lambda: [message(record(1, b"first"), version=0)],
}


@pytest.mark.parametrize("name", TAILS)
def test_tails_are_followed_as_by_the_real_server(pair: tuple[Target, Target], name: str) -> None:
    outcomes = []
    for target in pair:
        volume_id = next(VOLUMES)
        allocate(target.rpc, volume_id)
        target.source.script = Script({}, tail=TAILS[name]())
        asked = pb.VolumeTailReceiverRequest(
            volume_id=volume_id, source_volume_server=target.source.address
        )
        try:
            target.rpc.VolumeTailReceiver(asked, timeout=CALL_SECONDS_MAX)
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
        outcomes.append((code, target.read(volume_id, [1, 2])))
    assert outcomes[0] == outcomes[1]


ODD_TAILS: Final[dict[str, Callable[[], list[Any]]]] = {
    "a torn record": lambda: [message(record(1, b"first")[:-9])],
    "a torn header": lambda: [
        pb.VolumeTailSenderResponse(needle_header=b"abc", is_last_chunk=True)
    ],
    "a negative size": lambda: [message(b"C" * 12 + b"\xff\xff\xff\xff" + bytes(16))],
    "more than its header says": lambda: [
        message(record(1, b"x" * 100), is_last=False) for _ in range(2000)
    ],
}


@pytest.mark.parametrize("name", ODD_TAILS)
def test_a_tail_of_no_records_is_refused(target: Target, name: str) -> None:
    """Where the real server goes on with what it takes for one, or ends."""
    volume_id = next(VOLUMES)
    allocate(target.rpc, volume_id)
    target.source.script = Script({}, tail=ODD_TAILS[name]())
    asked = pb.VolumeTailReceiverRequest(
        volume_id=volume_id, source_volume_server=target.source.address
    )
    with pytest.raises(grpc.RpcError) as caught:
        target.rpc.VolumeTailReceiver(asked, timeout=CALL_SECONDS_MAX)
    assert "internal error" not in str(caught.value.details())
    assert caught.value.code() == grpc.StatusCode.UNKNOWN
    assert target.read(volume_id, [1]) == {1: None}
