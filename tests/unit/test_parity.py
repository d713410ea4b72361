"""PARITY.md names every flag, RPC and route, with the status that the code has."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import fastvol.rpc
from fastvol.cli import backup, compact, export, fix
from fastvol.cli.global_flags import GLOBAL_FLAGS
from fastvol.cli.volume_flags import volume_flags
from fastvol.pb import volume_server_pb2

ROOT = Path(__file__).parents[2]
PARITY = (ROOT / "PARITY.md").read_text()
ROW = re.compile(r"^\| `([^`]+)` \| (\w[\w ]*) \|(.*)\|$", re.MULTILINE)
STATUSES = {"works", "partly", "not yet"}
TEST = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
OFFLINE = {one.COMMAND.name: one.COMMAND for one in (fix, compact, export, backup)}


def handled() -> set[str]:
    """Every RPC that some class of fastvol.rpc handles."""
    found: set[str] = set()
    for module in pkgutil.iter_modules(fastvol.rpc.__path__):
        for name, kind in vars(importlib.import_module(f"fastvol.rpc.{module.name}")).items():
            if name.endswith("Handlers") and isinstance(kind, type):
                found.update(kind.__new__(kind).table())
    return found


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


def test_every_rpc_is_listed_with_its_status() -> None:
    methods = volume_server_pb2.DESCRIPTOR.services_by_name["VolumeServer"].methods_by_name
    listed = section("gRPC: `volume_server_pb.VolumeServer`")
    assert set(listed) == set(methods)
    assert {name for name, (status, _) in listed.items() if status != "not yet"} == handled()


def test_offline_flags_are_listed_with_their_status() -> None:
    listed = section("Offline commands")
    assert set(OFFLINE) < set(listed)
    for name, (status, _) in listed.items():
        command, _, flag = name.partition(" -")
        if flag:
            assert (status == "not yet") == (flag not in OFFLINE[command].flags().flags), name


def test_every_difference_names_a_test() -> None:
    text = PARITY.split("## Where fastvol differs on purpose\n", 1)[1].split("\n## ", 1)[0]
    rows = [row for row in re.findall(r"^\| (.*) \|$", text, re.MULTILINE) if "---" not in row]
    differences = [row for row in rows if row != "what | shown by"]
    assert len(differences) > 30
    for row in differences:
        named = TEST.findall(row.rpartition(" | ")[2])
        assert named, row
        for path, function in named:
            assert f"def {function}(" in (ROOT / path).read_text(), (path, function)


def test_upstreams_tests_have_their_pairs() -> None:
    text = PARITY.split("## SeaweedFS's own HTTP tests\n", 1)[1].split("\n## ", 1)[0]
    here = (ROOT / "tests/interop/test_upstream_http.py").read_text()
    pairs = re.findall(r"^\| `(Test\w+)` \| (?:(tests/\S+)::)?(\w+) \|$", text, re.MULTILINE)
    assert len(pairs) >= 60
    for theirs, path, function in pairs:
        source = (ROOT / path).read_text() if path else here
        assert f"def {function}(" in source, theirs


def test_upstreams_tests_of_remote_storage_have_their_pairs() -> None:
    text = PARITY.split("## SeaweedFS's own tests of remote storage\n", 1)[1]
    here = (ROOT / "tests/interop/test_upstream_remote.py").read_text()
    pairs = re.findall(r"^\| `(Test\w+)` \| ([\w, ]+) \|$", text, re.MULTILINE)
    assert len(pairs) == 8
    for theirs, functions in pairs:
        for function in functions.split(", "):
            assert f"def {function}(" in here, theirs


def test_statuses_are_known_and_tests_exist() -> None:
    for name, status, rest in ROW.findall(PARITY):
        assert status in STATUSES, (name, status)
        tests = re.findall(r"tests/[\w/]+\.py", rest)
        assert tests or status == "not yet", f"{name} names no test"
        for test in tests:
            assert (ROOT / test).exists(), f"{name}: {test} does not exist"
