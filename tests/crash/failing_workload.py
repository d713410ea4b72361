"""Runs one list of operations again and again, the first, second, third… system call failing.

Started with the library made of ``failing_calls.c`` preloaded. After each operation the volume must
hold exactly what was acknowledged; after the run, opened without faults, too. Prints how many runs
it took until one passed clean.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from volume_kit import create, needle, open_volume

from fastvol.errors import NeedleNotFoundError, StorageError, VolumeReadOnlyError
from fastvol.store.compaction_recovery import reconcile_compactions
from fastvol.volume.vacuum import VacuumPlan

COOKIE = 0x1234
RUNS_MAX = 300


class Run:
    """One volume and the ledger of what it acknowledged."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ledger: dict[int, bytes | None] = {}
        self.failures = 0
        self.in_doubt: dict[int, bytes | None] = {}
        """Refused, and the files could not be cut back: the next opening may find it whole."""
        self.volume = create(directory, 1)

    def write(self, key: int, data: bytes) -> None:
        one = needle(key, data, cookie=COOKIE)
        self._attempt(lambda: self.volume.write(one), key, data)

    def delete(self, key: int) -> None:
        self._attempt(lambda: self.volume.delete(key, COOKIE, 0), key, None)

    def attempt(self, work: Callable[[], object]) -> None:
        """Something that changes no object."""
        try:
            work()
        except StorageError:
            self.failures += 1
        self.check()

    def _attempt(self, work: Callable[[], object], key: int, after: bytes | None) -> None:
        try:
            work()
        except StorageError as error:
            self.failures += 1
            if self.volume.read_only and not isinstance(error, VolumeReadOnlyError):
                self.in_doubt[key] = after
        else:
            self.ledger[key] = after
        self.check()

    def check(self) -> None:
        for key, data in self.ledger.items():
            found = self.read(key)
            assert found == data, f"needle {key} has {found!r:.40}, not {data!r:.40}"

    def read(self, key: int) -> bytes | None:
        try:
            return bytes(self.volume.read(key).data)
        except NeedleNotFoundError:
            return None

    def work(self) -> None:
        self.write(1, b"first")
        self.write(2, b"second" * 1000)
        self.attempt(self.volume.commit)
        self.write(1, b"first, again")
        self.delete(2)
        self.write(3, os.urandom(300_000))
        waiting = [threading.Thread(target=self.attempt, args=(self.volume.commit,)) for _ in "12"]
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()
        self.attempt(lambda: self.volume.compact(VacuumPlan()))
        self.write(4, b"fourth")
        self.delete(1)
        self.attempt(self.volume.commit_compaction)
        self.write(5, b"fifth")
        self.attempt(self.volume.commit)

    def reopen(self) -> None:
        """Without faults: nothing acknowledged is missing, nothing refused is there."""
        self.volume.close()
        reconcile_compactions(self.directory, self.directory, loaded=())
        self.volume = open_volume(self.directory, 1)
        assert not self.volume.read_only, self.volume.read_only_reasons
        for key, data in self.in_doubt.items():
            if self.read(key) == data:
                self.ledger[key] = data
        self.check()
        self.write(6, b"sixth")
        assert self.ledger[6] == b"sixth"
        self.volume.close()


def main() -> None:
    library, base, kind, count, error = sys.argv[1:]
    calls = ctypes.CDLL(library)
    for nth in range(1, RUNS_MAX):
        directory = Path(base) / str(nth)
        directory.mkdir()
        run = Run(directory)
        calls.failing_calls_arm(int(kind), nth, int(count), int(error))
        run.work()
        failed = calls.failing_calls_disarm()
        run.reopen()
        if not failed:
            assert run.failures == 0
            print(nth)
            return
    raise SystemExit("no run passed clean")


if __name__ == "__main__":
    main()
