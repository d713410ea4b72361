"""Volumes and command lines for the tests of offline tools."""

import json
from pathlib import Path
from typing import Any

import pytest

from fastvol._cffi.crc32c import crc32c
from fastvol.cli.main import main
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY
from fastvol.volume.volume import Volume

MODIFIED = 1700000000


def create(directory: Path, volume_id: int = 7, *, collection: str = "", **more: Any) -> Volume:
    directory.mkdir(parents=True, exist_ok=True)
    return Volume.create(
        directory,
        directory,
        collection,
        volume_id,
        replica_placement=ReplicaPlacement.parse("000"),
        ttl=EMPTY,
        **more,
    )


def put(volume: Volume, key: int, data: bytes, **fields: Any) -> None:
    flags = Needle.HAS_NAME | Needle.HAS_MIME | Needle.HAS_LAST_MODIFIED | fields.pop("flags", 0)
    values = {"name": b"%d.txt" % key, "mime": b"text/plain", "last_modified": MODIFIED + key}
    needle = Needle(key, key + 0x1000, data, flags, **{**values, **fields})
    needle.checksum = crc32c(data)
    volume.write(needle)


def filled(directory: Path, volume_id: int = 7, *, collection: str = "", **more: Any) -> None:
    """Needles 1 to 12; 2 has an earlier version, 3 is deleted."""
    volume = create(directory, volume_id, collection=collection, **more)
    for key in range(1, 13):
        put(volume, key, b"%d," % key * 30)
    put(volume, 2, b"new")
    volume.delete(3, 5, 5)
    volume.close()


def tool(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def tool_json(capsys: pytest.CaptureFixture[str], name: str, *arguments: object) -> Any:
    """The document of ``-json``, with the exit status as its member ``status``."""
    status, out, _ = tool(capsys, name, "-json", *arguments)
    document = json.loads(out)
    document["status"] = status
    return document


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Content and modification time of every file."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(directory.iterdir())
        if path.is_file()
    }
