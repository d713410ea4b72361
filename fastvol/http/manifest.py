"""Chunk manifests: objects whose bytes are those of other objects, one behind the other
(weed/operation/chunked_file.go)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastvol.http import go_json
from fastvol.http.compression import gunzip
from fastvol.limits import MANIFEST_BYTES_MAX

_INT64_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """``size`` bytes at ``offset`` of the whole, stored as the object ``fid``."""

    fid: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Chunks by offset; ``size`` is what the manifest says of itself."""

    name: str
    mime: str
    size: int
    chunks: tuple[Chunk, ...]

    @property
    def content_size(self) -> int:
        """Bytes of all chunks."""
        return sum(chunk.size for chunk in self.chunks)

    @property
    def is_readable(self) -> bool:
        """No chunk is smaller than nothing, or before the beginning."""
        return all(chunk.size >= 0 and chunk.offset >= 0 for chunk in self.chunks)


def parse_manifest(data: bytes, *, is_compressed: bool) -> Manifest:
    """Reads the JSON of a manifest; :exc:`ValueError` when it is none (LoadChunkManifest)."""
    text = gunzip(data, MANIFEST_BYTES_MAX) if is_compressed else data
    if len(text) > MANIFEST_BYTES_MAX:
        raise ValueError(f"it has more than {MANIFEST_BYTES_MAX} bytes")
    fields = _fields(go_json.loads(text, parse_constant=_no_constant))
    listed = fields.get("chunks") or ()
    if not isinstance(listed, list | tuple):
        raise ValueError("chunks is no array")  # noqa: TRY004 - it is about the text
    chunks = [_chunk(_fields(entry)) for entry in listed]
    manifest = Manifest(
        _text(fields, "name"),
        _text(fields, "mime"),
        _integer(fields, "size"),
        tuple(sorted(chunks, key=lambda chunk: chunk.offset)),
    )
    if manifest.content_size > _INT64_MAX:
        raise ValueError("its chunks have more bytes than 63 bits can count")
    return manifest


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _fields(value: Any) -> dict[str, Any]:
    """Members by lower-case name: Go finds them in any case; ``null`` has none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - it is about the text
    return {name.lower(): member for name, member in value.items()}


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is no string")  # noqa: TRY004 - it is about the text
    return go_json.go_string(value)


def _integer(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _INT64_MAX:
        raise ValueError(f"{name} is no 64-bit integer")
    return value


def _chunk(fields: dict[str, Any]) -> Chunk:
    return Chunk(_text(fields, "fid"), _integer(fields, "offset"), _integer(fields, "size"))
