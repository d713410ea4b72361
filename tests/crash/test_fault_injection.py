"""Failing system calls: what was acknowledged stays, what failed leaves no trace."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.crash

HERE = Path(__file__).parent
WRITE, SYNC, BOTH = range(3)
ONCE, FOR_GOOD = 1, 1000
SECONDS_MAX = 120


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "failing_calls.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(path)]
    subprocess.run([*command, str(HERE / "failing_calls.c"), "-ldl"], check=True)
    return path


@pytest.mark.parametrize(
    ("kind", "count", "error"),
    [
        pytest.param(WRITE, ONCE, errno.ENOSPC, id="disk full once"),
        pytest.param(WRITE, FOR_GOOD, errno.ENOSPC, id="disk full from then on"),
        pytest.param(WRITE, ONCE, errno.EIO, id="write error"),
        pytest.param(WRITE, ONCE, 0, id="short write"),
        pytest.param(SYNC, ONCE, errno.EIO, id="failed sync"),
        pytest.param(SYNC, FOR_GOOD, errno.EIO, id="failed syncs from then on"),
        pytest.param(BOTH, ONCE, errno.EIO, id="write error that cannot be undone"),
    ],
)
def test_the_first_second_third_call_fails(
    tmp_path: Path, library: Path, kind: int, count: int, error: int
) -> None:
    """Until a run passes clean."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LD_PRELOAD": str(library)}
    done = subprocess.run(
        [
            sys.executable,
            str(HERE / "failing_workload.py"),
            str(library),
            str(tmp_path),
            *map(str, (kind, count, error)),
        ],
        env=environ,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > (6 if kind == SYNC else 12)
