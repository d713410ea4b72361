"""Names for exported files: the templates of ``-fileNameFormat``, and keeping names where they belong.

Of upstream's template language (weed/command/export.go) only fields are taken: ``{{.Id}}``,
``{{.Name}}``, ``{{.Mime}}``, ``{{.Key}}`` and ``{{.Ext}}``.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from fastvol.errors import UsageError
from fastvol.formats.file_id import format_file_id
from fastvol.formats.needle import Needle

FIELDS: Final = ("Id", "Name", "Mime", "Key", "Ext")
_ACTION: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FIELD: Final = re.compile(r"\s*\.(\w+)\s*")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_COMPONENT_BYTES_MAX: Final = 255


class NameTemplate:
    """A checked template."""

    def __init__(self, text: str) -> None:
        """Raises UsageError for anything but text and fields."""
        self._parts: list[tuple[str, str]] = []
        at = 0
        for action in _ACTION.finditer(text):
            field = _FIELD.fullmatch(action[1])
            if field is None or field[1] not in FIELDS:
                raise UsageError(
                    f"-fileNameFormat: {action[0]} is none of "
                    + ", ".join(f"{{{{.{name}}}}}" for name in FIELDS)
                )
            self._parts.append((text[at : action.start()], field[1]))
            at = action.end()
        self._rest = text[at:]
        if "{{" in self._rest:
            raise UsageError("-fileNameFormat: {{ without }}")

    def render(self, values: Mapping[str, str]) -> str:
        """The name with these fields; a field is never taken for a template again."""
        return "".join(text + values[name] for text, name in self._parts) + self._rest


def exported_name(template: NameTemplate, needle: Needle, volume_id: int) -> str:
    """The name of a needle; ``.gz`` is added to what is stored as gzip."""
    name = needle.name.decode("utf-8", "surrogateescape")
    rendered = template.render(
        {
            "Id": f"{needle.id:x}",
            "Name": name,
            "Mime": needle.mime.decode("utf-8", "surrogateescape"),
            "Key": format_file_id(volume_id, needle.id, needle.cookie),
            "Ext": extension_of(name),
        }
    )
    is_gzip = needle.is_compressed and bytes(needle.data[:2]) == _GZIP_MAGIC
    if is_gzip and extension_of(rendered) != ".gz":
        rendered += ".gz"
    return rendered


def extension_of(name: str) -> str:
    """From the last dot on, the dot included (Go's filepath.Ext)."""
    base = name.rpartition("/")[2]
    at = base.rfind(".")
    return base[at:] if at >= 0 else ""


def safe_path(name: str, fallback: str) -> PurePosixPath:
    """A relative path that leads nowhere else, whatever the name holds.

    Steps upwards become underscores, a leading slash goes, as do NUL bytes; components are cut to
    what file systems take. ``fallback`` is for names of which nothing is left.
    """
    parts = [part.replace("\0", "_") for part in name.split("/")]
    kept = ["_" * len(part) if part in (".", "..") else _cut(part) for part in parts if part]
    return PurePosixPath(*(kept or [fallback]))


def _cut(part: str) -> str:
    encoded = part.encode("utf-8", "surrogateescape")
    if len(encoded) <= _COMPONENT_BYTES_MAX:
        return part
    return encoded[:_COMPONENT_BYTES_MAX].decode("utf-8", "surrogateescape")
