"""PARITY.md names every flag, RPC and route, with the status that the code has."""

import re
from pathlib import Path

import pytest

from fastvol.cli.global_flags import GLOBAL_FLAGS
from fastvol.cli.volume_flags import volume_flags
from fastvol.pb import volume_server_pb2

ROOT = Path(__file__).parents[2]
PARITY = (ROOT / "PARITY.md").read_text()
ROW = re.compile(r"^\| `([^`]+)` \| (\w[\w ]*) \|(.*)\|$", re.MULTILINE)
STATUSES = {"works", "partly", "not yet"}


def section(title: str) -> dict[str, tuple[str, str]]:
    """Name -> (status, rest of the row) of one section's table."""
    text = PARITY.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return {name: (status, rest) for name, status, rest in ROW.findall(text)}


@pytest.mark.parametrize("flags", [GLOBAL_FLAGS, volume_flags()], ids=["global", "volume"])
def test_every_flag_is_listed_with_its_status(flags: object) -> None:
    listed = section("Global flags" if flags is GLOBAL_FLAGS else "Flags of `volume`")
    names = flags.flags  # type: ignore[attr-defined]
    assert set(listed) == {f"-{name}" for name in names}
    for name, flag in names.items():
        status = listed[f"-{name}"][0]
        assert (status == "not yet") == (not flag.built), name


def test_every_rpc_is_listed() -> None:
    methods = volume_server_pb2.DESCRIPTOR.services_by_name["VolumeServer"].methods_by_name
    assert set(section("gRPC: `volume_server_pb.VolumeServer`")) == set(methods)


def test_statuses_are_known_and_tests_exist() -> None:
    for name, status, rest in ROW.findall(PARITY):
        assert status in STATUSES, (name, status)
        tests = re.findall(r"tests/[\w/]+\.py", rest)
        assert tests or status == "not yet", f"{name} names no test"
        for test in tests:
            assert (ROOT / test).exists(), f"{name}: {test} does not exist"
