"""The examples of docs/formats.md are what the encoders give."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from crc32c import crc32c

from fastvol.formats import volume_info
from fastvol.formats.file_id import FileId
from fastvol.formats.index_entry import encode_row
from fastvol.formats.needle import Needle, actual_size, encode, padding_length
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import TTL
from fastvol.formats.volume_info import VolumeInfo
from fastvol.store.state import encode_state
from fastvol.volume.files import DERIVED_MAPS, LEFTOVERS

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "formats.md"
TEXT: Final = DOCUMENT.read_text()
_EXAMPLE: Final = re.compile(
    r"^```(hex|text) (\w+) (\{.*?\})\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
EXAMPLES: Final = [match.groups() for match in _EXAMPLE.finditer(TEXT)]
_IDS: Final = [f"{kind}-{number}" for number, (_, kind, *_) in enumerate(EXAMPLES)]


def super_block(values: dict[str, Any]) -> bytes:
    return SuperBlock(
        version=values["version"],
        replica_placement=ReplicaPlacement.parse(values.get("replication", "")),
        ttl=TTL.parse(values.get("ttl", "")),
        compaction_revision=values.get("revision", 0),
    ).to_bytes()


def needle(values: dict[str, Any]) -> bytes:
    data = bytes.fromhex(values["data"])
    one = Needle(values["id"], int(values["cookie"], 16), data, checksum=crc32c(data))
    for name, flag in (("name", Needle.HAS_NAME), ("mime", Needle.HAS_MIME)):
        if name in values:
            setattr(one, name, values[name].encode())
            one.flags |= flag
    if "last_modified" in values:
        one.last_modified = values["last_modified"]
        one.flags |= Needle.HAS_LAST_MODIFIED
    if "ttl" in values:
        one.ttl = TTL.parse(values["ttl"])
        one.flags |= Needle.HAS_TTL
    if "pairs" in values:
        one.pairs = values["pairs"].encode()
        one.flags |= Needle.HAS_PAIRS
    if "checksum" in values:
        one.checksum = int(values["checksum"], 16)
    one.append_at_ns = values.get("append_at_ns", 0)
    record = encode(one, values["version"])
    assert len(record) == actual_size(one.size, values["version"])
    return record


def row(values: dict[str, Any]) -> bytes:
    assert values["offset"] % 8 == 0
    return encode_row(values["id"], values["offset"] // 8, values["size"], values["width"])


def map_value(values: dict[str, Any]) -> bytes:
    return row({"id": 0, **values})[8:]


def state(values: dict[str, Any]) -> bytes:
    return encode_state(values["maintenance"], values["version"])


def vif(values: dict[str, Any]) -> bytes:
    return volume_info.to_text(VolumeInfo(**values))


ENCODERS: Final[dict[str, Callable[[dict[str, Any]], bytes]]] = {
    one.__name__: one for one in (super_block, needle, row, map_value, state, vif)
}


@pytest.mark.parametrize(("form", "kind", "values", "shown"), EXAMPLES, ids=_IDS)
def test_an_example(form: str, kind: str, values: str, shown: str) -> None:
    encoded = ENCODERS[kind](json.loads(values))
    if form == "hex":
        digits = "".join(line.partition(";")[0] for line in shown.splitlines())
        assert bytes.fromhex(digits).hex(" ") == encoded.hex(" ")
    else:
        assert json.loads(shown) == json.loads(encoded)


def test_no_example_is_missed() -> None:
    assert len(EXAMPLES) == TEXT.count("```hex ") + TEXT.count("```text ") >= 16
    assert {kind for _, kind, *_ in EXAMPLES} == set(ENCODERS)


def test_the_padding_table() -> None:
    table = re.search(r"^\| padding \|(.*)\|$", TEXT, re.MULTILINE)
    assert table is not None
    assert [int(cell) for cell in table[1].split("|")] == [padding_length(n) for n in range(8)]


def test_the_file_ids() -> None:
    rows = re.findall(r"^\| `(\d+,\w+)` \| (\d+) \| (.*?) \| `(\w+)` \|$", TEXT, re.MULTILINE)
    assert len(rows) == 3
    for text, volume_id, key, cookie in rows:
        number = 2**64 - 1 if key == "2^64 - 1" else int(key, 0)
        assert FileId.parse(text) == FileId(int(volume_id), number, int(cookie, 16))
        assert str(FileId.parse(text)) == text


def test_every_extension_is_described() -> None:
    for extension in (*DERIVED_MAPS, *LEFTOVERS, ".dat", ".idx", ".vif"):
        assert f"`{extension}" in TEXT
