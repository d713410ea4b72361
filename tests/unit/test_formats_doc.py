"""The examples of docs/formats.md are what the encoders give."""

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from crc32c import crc32c

from fastvol import limits
from fastvol._cffi.sorted_map import write_sorted
from fastvol.formats import volume_info
from fastvol.formats.file_id import FileId
from fastvol.formats.index_entry import encode_row, iter_rows
from fastvol.formats.needle import HEADER_BYTES, Needle, actual_size, encode, padding_length
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.super_block import SuperBlock
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.formats.volume_info import VolumeInfo
from fastvol.index import leveldb_map
from fastvol.index.index_log import IndexLog
from fastvol.store.state import encode_state
from fastvol.volume.files import DATA_SIDE, DERIVED_MAPS, INDEX_SIDE, LEFTOVERS, VolumeFiles
from fastvol.volume.scrub import ScrubMode, scrub_files
from fastvol.volume.vacuum import VacuumPlan
from fastvol.volume.volume import Volume

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


def log_rows(rows: list[list[int]], width: int) -> bytes:
    return b"".join(encode_row(key, at // 8, size, width) for key, at, size in rows)


def sorted_file(values: dict[str, Any]) -> bytes:
    """What is made of an index with these rows."""
    with tempfile.TemporaryFile() as index, tempfile.TemporaryFile() as made:
        index.write(log_rows(values["rows"], values["width"]))
        index.flush()
        write_sorted(index.fileno(), made.fileno(), values["width"])
        return os.pread(made.fileno(), 1 << 16, 0)


def vacuum(values: dict[str, Any]) -> bytes:
    """Rows, or headers of the records, of a volume that was changed before and during a vacuum."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        volume = Volume.create(
            directory, directory, "", 7, replica_placement=ReplicaPlacement.parse(""), ttl=EMPTY
        )
        change(volume, values["before"], b"first")
        volume.compact(VacuumPlan())
        change(volume, values["meanwhile"], b"second")
        volume.commit_compaction()
        volume.close()
        rows = (directory / "7.idx").read_bytes()
        data = (directory / "7.dat").read_bytes()
    if values["shown"] == "rows":
        return rows
    return b"".join(data[one.offset * 8 :][:HEADER_BYTES] for one in iter_rows(rows, 5))


def change(volume: Volume, changes: list[tuple[str, int]], data: bytes) -> None:
    for action, key in changes:
        cookie = 0xC0 + key
        if action == "write":
            volume.write(Needle(key, cookie, data, checksum=crc32c(data)))
        else:
            volume.delete(key, cookie, 0)


def scrub(values: dict[str, Any]) -> bytes:
    """Findings in an index with these rows."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "7.dat").write_bytes(super_block({"version": 3}) + bytes(1 << 12))
        (directory / "7.idx").write_bytes(log_rows(values["rows"], 5))
        found = scrub_files(VolumeFiles.of(directory, directory, "", 7), ScrubMode.INDEX)
    return json.dumps(found.details).encode()


ENCODERS: Final[dict[str, Callable[[dict[str, Any]], bytes]]] = {
    one.__name__: one
    for one in (super_block, needle, row, map_value, state, vif, sorted_file, vacuum, scrub)
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
    for extension in (*DATA_SIDE, *INDEX_SIDE, *DERIVED_MAPS, *LEFTOVERS):
        assert f"`{extension}" in TEXT


def test_the_members_of_a_vif() -> None:
    empty = json.loads(volume_info.to_text(VolumeInfo()))
    assert re.findall(r"^\| `(\w+)` \| (?:list|number|text|bool|object)", TEXT, re.MULTILINE) == [
        *empty
    ]


def test_the_keys_of_a_leveldb(tmp_path: Path) -> None:
    with (tmp_path / "7.idx").open("w+b") as index:
        noted = leveldb_map._state(IndexLog(index.fileno(), 5), 0, clean=True)
    table = TEXT.partition("| member of `fastvol_state` | meaning |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [*json.loads(noted)]
    for key in (leveldb_map.WATERMARK_KEY, leveldb_map.STATE_KEY):
        assert f"| `{key.decode()}` |" in TEXT


def test_the_numbers_of_the_theory() -> None:
    for sentence, number in (
        (r"in steps of (\d+) MB, between which it pays", limits.VACUUM_STEP_BYTES / limits.MIB),
        (r"no more than (\d+) KB of rows are left", limits.VACUUM_PAUSED_BYTES / limits.KIB),
        (r"left \(or (\d+) rounds are over", limits.VACUUM_CATCH_UP_ROUNDS),
        (r"in steps of at most\s(\d+) MB", limits.SCRUB_STEP_BYTES / limits.MIB),
        (r"the first ([\d ]+) are described", limits.SCRUB_DETAILS_MAX),
        (r"with more than ([\d ]+) rows then", limits.LAST_WRITE_ROWS_MAX),
        (r"of up to (\d+) of these rows", limits.LEVELDB_SAMPLE_ROWS + 1),
    ):
        found = re.search(sentence, TEXT)
        assert found is not None, sentence
        assert int(found[1].replace(" ", "")) == number, sentence
