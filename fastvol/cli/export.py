"""``fastvol export``: list the files of a volume, or write them to a tar or a directory.

Flags and the list are those of ``weed export`` (weed/command/export.go). Damage is passed over and
told; the volume is not changed.
"""

import mmap
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fastvol._cffi.compact_map import CompactMap
from fastvol._cffi.survey import NOT_RECORDS, Extent, ExtentKind
from fastvol.cli.command import EXIT_OK
from fastvol.cli.export_names import NameTemplate, exported_name, safe_path
from fastvol.cli.export_target import opened_target
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import Flag, ParsedFlags
from fastvol.cli.offline import EXIT_PROBLEMS, offline_command, print_json
from fastvol.cli.volume_choice import one_volume, volume_choice_flags
from fastvol.errors import NeedleCorruptedError, UsageError
from fastvol.formats.file_id import format_file_id
from fastvol.formats.needle import Needle, decode
from fastvol.volume.unrepaired import UnrepairedVolume, unrepaired

_DEFAULT_FORMAT: Final = "{{.Id}}_{{.Name}}{{.Ext}}"
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S"
_COLUMNS: Final = (
    *("key", "name", "size", "gzip", "mime", "modified", "ttl", "deleted", "start", "stop"),
)
_TOMBSTONE_NAME: Final = "*tombstone"
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


def _flags() -> list[Flag]:
    return [
        *volume_choice_flags(),
        Flag("o", "string", "", "x.tar, - for a tar on standard output, or directory/"),
        Flag("fileNameFormat", "string", _DEFAULT_FORMAT, "of {{.Id}} {{.Name}} {{.Ext}} ..."),
        Flag("newer", "string", "", "only files not older than 2006-01-02T15:04:05, local time"),
        Flag("deleted", "bool", False, "deleted files and earlier versions, too"),
        Flag("limit", "int", 0, "stop after so many files; 0: none"),
    ]


@dataclass(frozen=True, slots=True)
class _Exported:
    extent: Extent
    needle: Needle

    @property
    def is_tombstone(self) -> bool:
        return self.extent.kind is ExtentKind.TOMBSTONE


class _Selection:
    """Which records are exported."""

    def __init__(self, opened: UnrepairedVolume, parsed: ParsedFlags) -> None:
        self._opened = opened
        self._deleted = bool(parsed.values["deleted"])
        self._list_tombstones = self._deleted and not parsed.values["o"]
        self._limit = int(parsed.values["limit"])
        self._newer = _parse_time(str(parsed.values["newer"]))
        self._map: CompactMap
        self._map, _ = opened.load_map()
        self.passed_over: list[str] = []

    def records(self) -> Iterator[_Exported]:
        """In the order of the data file."""
        if self._opened.dat_size <= self._opened.first:
            return
        count = 0
        survey = self._opened.survey(frozenset(ExtentKind), needle_map=self._map)
        for extent in survey.extents():
            if not self._is_wanted(extent):
                continue
            exported = self._decode(extent)
            if exported is None or self._is_too_old(exported.needle):
                continue
            yield exported
            count += 1
            if count == self._limit:
                return

    def _is_wanted(self, extent: Extent) -> bool:
        kind = extent.kind
        if kind in NOT_RECORDS or kind is ExtentKind.BAD_RECORD:
            if kind is not ExtentKind.ZEROS and (kind in NOT_RECORDS or extent.live):
                self._pass_over(extent, kind.words)
            return False
        if kind is ExtentKind.TOMBSTONE:
            entry = self._map.get(extent.key)
            return self._list_tombstones and (entry is None or entry.size < 0)
        return extent.size > 0 and (kind is ExtentKind.LIVE or self._deleted)

    def _decode(self, extent: Extent) -> _Exported | None:
        # Mapped one by one: whoever cuts the file short meanwhile spoils no more than one record.
        opened = self._opened
        start = extent.offset - extent.offset % mmap.ALLOCATIONGRANULARITY
        try:
            mapped = mmap.mmap(
                opened.dat_fd,
                extent.offset + extent.length - start,
                access=mmap.ACCESS_READ,
                offset=start,
            )
            record = memoryview(mapped)[extent.offset - start :]
            return _Exported(extent, decode(record, extent.size, opened.version, verify=False))
        except (NeedleCorruptedError, ValueError, OSError) as error:
            self._pass_over(extent, str(error))
            return None

    def _pass_over(self, extent: Extent, words: str) -> None:
        where = f"{extent.offset}..{extent.offset + extent.length}"
        self.passed_over.append(f"passed over {where}: {words}")

    def _is_too_old(self, needle: Needle) -> bool:
        return needle.has_last_modified and needle.last_modified < self._newer


def _parse_time(text: str) -> float:
    if not text:
        return 0
    try:
        return datetime.strptime(text, _TIME_FORMAT).astimezone().timestamp()
    except ValueError as error:
        raise UsageError(f"cannot parse 'newer' argument: {error}") from error


def _export(parsed: ParsedFlags, _options: GlobalOptions) -> int:
    if parsed.values["o"] == "-" and parsed.values["json"]:
        raise UsageError("-o - and -json both want standard output")
    template = NameTemplate(str(parsed.values["fileNameFormat"]))
    files = one_volume(parsed)
    with unrepaired(files) as opened:
        selection = _Selection(opened, parsed)
        for problem in opened.problems:
            print(f"fastvol export: {problem}", file=sys.stderr)
        if parsed.values["o"]:
            _write(selection, template, files.volume_id, parsed)
        else:
            _list(selection, files.volume_id, parsed)
    for sentence in selection.passed_over:
        print(f"fastvol export: {sentence}", file=sys.stderr)
    return EXIT_PROBLEMS if selection.passed_over else EXIT_OK


def _write(
    selection: _Selection, template: NameTemplate, volume_id: int, parsed: ParsedFlags
) -> None:
    written = []
    with opened_target(str(parsed.values["o"]), volume_id) as target:
        for one in selection.records():
            path = safe_path(exported_name(template, one.needle, volume_id), f"{one.needle.id:x}")
            target.add(path, one.needle)
            if parsed.values["json"]:
                written.append(
                    {
                        "path": _shown(str(path).encode("utf-8", "surrogateescape")),
                        **_row(one, volume_id),
                    }
                )
    if parsed.values["json"]:
        print_json({"files": written})


def _list(selection: _Selection, volume_id: int, parsed: ParsedFlags) -> None:
    rows = (_row(one, volume_id) for one in selection.records())
    if parsed.values["json"]:
        print_json({"files": list(rows)})
        return
    print("\t".join(_COLUMNS))
    for row in rows:
        print("\t".join(_text(row[name]) for name in _COLUMNS))


def _row(one: _Exported, volume_id: int) -> dict[str, Any]:
    needle, extent = one.needle, one.extent
    return {
        "key": format_file_id(volume_id, needle.id, needle.cookie),
        "name": _TOMBSTONE_NAME if one.is_tombstone else _shown(needle.name),
        "size": len(needle.data),
        "gzip": needle.is_compressed,
        "mime": _shown(needle.mime),
        "modified": time.strftime(_TIME_FORMAT, time.localtime(needle.last_modified)),
        "ttl": str(needle.ttl),
        "deleted": one.is_tombstone,
        "start": extent.offset,
        "stop": extent.offset + extent.length,
    }


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(stored: bytes) -> str:
    """For a terminal and a line of columns: no control characters."""
    return stored.decode("utf-8", "backslashreplace").translate(_CONTROL)


COMMAND = offline_command(
    "export",
    _export,
    flags=_flags,
    example="export -dir=/data -volumeId=234 -o=/backup/234.tar -fileNameFormat={{.Name}}",
    description="list the files of a volume, or write them to a tar or a directory",
)
