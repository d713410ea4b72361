"""What this process has open, for tests that nothing is leaked."""

import contextlib
import os
from pathlib import Path


def open_descriptors() -> dict[int, str]:
    """Every descriptor, and what it leads to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def opened_within(directory: Path) -> list[str]:
    """What is open there, whatever other threads and the garbage collector do meanwhile."""
    return sorted(path for path in open_descriptors().values() if path.startswith(f"{directory}/"))
