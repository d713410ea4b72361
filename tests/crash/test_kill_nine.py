"""A writer killed at random moments: every acknowledged operation is there when it opens again."""

import os
import random
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kill_nine_writer import cookie, payload
from volume_kit import create, open_volume

from fastvol.errors import NeedleNotFoundError
from fastvol.index.kinds import IndexKind, IndexOptions
from fastvol.store.compaction_recovery import reconcile_compactions
from fastvol.volume.volume import Volume

pytestmark = pytest.mark.crash

ROUNDS: dict[IndexKind, int] = {"memory": 100, "leveldb": 40}
SECONDS_MAX = 30
OPERATIONS_MIN = 10
GONE = -1
WRITER = Path(__file__).with_name("kill_nine_writer.py")


@dataclass
class Model:
    """What must be there: per key the version last acknowledged, and what was under way."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    under_way: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    operations: int = 0
    version: int = 0

    def take(self, line: str) -> None:
        if line == "vacuumed":
            return
        verb, thread, *rest = line.split()
        if verb == "begin":
            operation, key, version = rest[0], int(rest[1]), int(rest[2])
            self.under_way[thread] = (operation, key, version)
            self.version = max(self.version, version)
            return
        assert verb == "done", line
        operation, key, version = self.under_way.pop(thread)
        self.acknowledged[key] = GONE if operation == "delete" else version
        self.operations += 1

    def check(self, volume: Volume) -> None:
        """Every key is as acknowledged, or as an operation under way wanted it."""
        unsure = {key: (operation, version) for operation, key, version in self.under_way.values()}
        self.under_way.clear()
        for key in self.acknowledged.keys() | unsure.keys():
            allowed = {self.acknowledged.get(key, GONE)}
            if key in unsure:
                operation, version = unsure[key]
                allowed.add(GONE if operation == "delete" else version)
                if operation != "delete" and not payload(key, version):
                    allowed.add(GONE)  # without its row an empty file looks like a tombstone
            self.acknowledged[key] = find_version(volume, key, allowed)


def find_version(volume: Volume, key: int, allowed: set[int]) -> int:
    try:
        found = volume.read(key)
    except NeedleNotFoundError:
        assert GONE in allowed, f"key {key}: version {allowed} is lost"
        return GONE
    assert not found.size or found.cookie == cookie(key)
    for version in allowed - {GONE}:
        if found.data == payload(key, version):
            return version
    raise AssertionError(f"key {key}: neither of {allowed}, but {bytes(found.data[:30])!r}")


def lines_until(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """What the writer says until then; it must not stop by itself."""
    assert process.stdout is not None
    said = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                piece = os.read(process.stdout.fileno(), 1 << 16)
                assert piece, f"the writer stopped: {bytes(said[-300:])!r}"
                said += piece
    return bytes(said)


def has_worked(said: bytes, *, vacuumed: bool) -> bool:
    """Whether a writer did enough for its killing to be worth something."""
    return said.count(b"done") >= OPERATIONS_MIN and (not vacuumed or b"vacuumed\n" in said)


def run_and_kill(
    directory: Path,
    seed: int,
    model: Model,
    chance: random.Random,
    kind: IndexKind,
    *,
    vacuumed: bool,
) -> None:
    """At a random moment; with ``vacuumed`` not before it has committed a vacuum."""
    command = [sys.executable, str(WRITER), str(directory), str(seed), str(model.version), kind]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as process:
        try:
            started = time.monotonic() + SECONDS_MAX
            said = b""
            while not has_worked(said, vacuumed=vacuumed):
                assert time.monotonic() < started
                said += lines_until(process, time.monotonic() + 0.02)
            said += lines_until(process, time.monotonic() + chance.uniform(0.01, 0.1))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(SECONDS_MAX)
        assert process.stdout is not None
        said += process.stdout.read()
    whole, _, _ = said.rpartition(b"\n")
    for line in whole.decode().splitlines():
        model.take(line)


@pytest.mark.parametrize("kind", list(ROUNDS))
def test_every_acknowledged_operation_survives(tmp_path: Path, kind: IndexKind) -> None:
    """With a map that is a cache of the index as well as with one in memory."""
    rounds = ROUNDS[kind]
    create(tmp_path, 1).close()
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    model = Model()
    revisions = set()
    for round_number in range(rounds):
        vacuumed = round_number % 2 == 0
        run_and_kill(tmp_path, seed + round_number, model, chance, kind, vacuumed=vacuumed)
        reconcile_compactions(tmp_path, tmp_path, loaded=())
        volume = open_volume(tmp_path, 1, index=IndexOptions(kind))
        revisions.add(volume.super_block.compaction_revision)
        assert not volume.read_only, volume.read_only_reasons
        model.check(volume)
        volume.close()
        assert (tmp_path / "1.idx").stat().st_size % 17 == 0
        assert (tmp_path / "1.dat").stat().st_size % 8 == 0
    assert model.operations >= rounds * OPERATIONS_MIN
    assert len(revisions) >= rounds // 2  # vacuums were committed, too
