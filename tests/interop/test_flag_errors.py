"""Bad command lines: the real binary and fastvol print the same first line and exit alike."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from cluster import FASTVOL, WEED
from daemons import run

pytestmark = pytest.mark.interop

# Environment, arguments.
CASES: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["volume", "-nosuch"]),
    ({}, ["volume", "--nosuch=1"]),
    ({}, ["volume", "-v=3"]),
    ({}, ["volume", "-port"]),
    ({}, ["volume", "-port=abc"]),
    ({}, ["volume", "-port="]),
    ({}, ["volume", "-port=08"]),
    ({}, ["volume", "-port=1__0"]),
    ({}, ["volume", "-port=99999999999999999999"]),
    ({}, ["volume", "-pprof=maybe"]),
    ({}, ["volume", "-inflightUploadDataTimeout=10"]),
    ({}, ["volume", "-inflightUploadDataTimeout=1x"]),
    ({}, ["volume", "---port=1"]),
    ({}, ["volume", "-=x"]),
    ({}, ["volume", "-h"]),
    ({}, ["volum"]),
    ({}, ["-v=abc", "volume"]),
    ({}, ["-nosuch", "volume"]),
    ({}, ["-stderrthreshold=abc", "volume"]),
    ({}, ["-vmodule=a", "volume"]),
    ({}, ["help", "nosuch"]),
    ({"PORT": "abc"}, ["volume"]),
    ({"PPROF": "zz"}, ["volume"]),
    ({"WEED_V": "abc"}, ["volume"]),
    ({}, ["volume", "-dir=d", "-options=bad-options"]),
    ({}, ["volume", "-dir=/nosuch"]),
    ({}, ["volume", "-dir=d,d/."]),
    ({}, ["volume", "-dir=bad-options"]),
    ({}, ["volume", "-dir=d", "-max=x"]),
    ({}, ["volume", "-dir=d", "-max=1,2"]),
    ({}, ["volume", "-dir=d", "-minFreeSpace=101"]),
    ({}, ["volume", "-dir=d", "-disk=a,b"]),
    ({"DIR": ""}, ["volume"]),
]

GLOG_PREFIX = re.compile(r"^F\d{4} [\d:.]+ [\w.]+:\d+ ")


def outcome(
    program: Sequence[str], arguments: list[str], directory: Path, environ: dict[str, str]
) -> tuple[int, str]:
    """Exit status and the first line on standard error that tells what was wrong."""
    done = run([*program, *arguments], directory, environ=environ)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("I")]
    first = GLOG_PREFIX.sub("", lines[0]) if lines else ""
    return done.returncode, first.replace("weed", "fastvol")


@pytest.mark.parametrize("case", CASES, ids=[" ".join([*env, *argv]) for env, argv in CASES])
def test_a_bad_command_line_ends_with_the_same_text_and_status(
    case: tuple[dict[str, str], list[str]], tmp_path: Path
) -> None:
    environ, argv = case
    (tmp_path / "d").mkdir()
    (tmp_path / "bad-options").write_text("port=abc\n")
    ours, theirs = (outcome(program, argv, tmp_path, environ) for program in (FASTVOL, [WEED]))
    assert ours == theirs
