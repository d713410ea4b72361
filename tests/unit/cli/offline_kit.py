"""Volumes and command lines for the tests of offline tools."""

import json
from pathlib import Path
from typing import Any

import pytest
import volume_kit
from volume_kit import named

from fastvol.cli.main import main
from fastvol.volume.volume import Volume

MODIFIED = 1700000000


def create(directory: Path, volume_id: int = 7, *, collection: str = "") -> Volume:
    """An empty volume, and its directory if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    return volume_kit.create(directory, volume_id, collection=collection)


def put(volume: Volume, key: int, data: bytes, **fields: Any) -> None:
    values = {
        "cookie": key + 0x1000,
        "name": b"%d.txt" % key,
        "mime": b"text/plain",
        "last_modified": MODIFIED + key,
    }
    volume.write(named(key, data, **{**values, **fields}))


def filled(directory: Path, volume_id: int = 7, *, collection: str = "", count: int = 12) -> None:
    """Needles 1 to ``count``; 2 has an earlier version, 3 is deleted."""
    volume = create(directory, volume_id, collection=collection)
    for key in range(1, count + 1):
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
