"""``fastvol check``: explain every byte of a volume, and repair it when asked to.

Without ``-repair`` nothing is changed. With it, what will be done is said first.
"""

import dataclasses
from typing import Any, Final

from fastvol._cffi.survey import Extent, ExtentKind
from fastvol.cli.command import EXIT_OK
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import Flag, ParsedFlags
from fastvol.cli.offline import (
    EXIT_CANNOT,
    EXIT_PROBLEMS,
    complain,
    offline_command,
    print_json,
)
from fastvol.cli.terminal import byte_progress, table
from fastvol.cli.volume_choice import chosen_volumes, locked, volume_choice_flags
from fastvol.errors import StorageError
from fastvol.volume.files import VolumeFiles
from fastvol.volume.inspection import SUSPICIOUS, Inspection, inspect_volume
from fastvol.volume.mending import Step, repair_steps, vacuum_step

_ALL: Final = frozenset(ExtentKind)


def _flags() -> list[Flag]:
    return [
        *volume_choice_flags(),
        Flag("v", "bool", False, "list every range that is not a live record"),
        Flag("all", "bool", False, "list every range"),
        Flag("repair", "bool", False, "mend what can be mended (stop the server first)"),
    ]


def _check(parsed: ParsedFlags, _options: GlobalOptions) -> int:
    volumes = chosen_volumes(parsed)
    if not parsed.values["repair"]:
        return _check_all(volumes, parsed)
    with locked(volumes):
        return _check_all(volumes, parsed)


def _check_all(volumes: list[VolumeFiles], parsed: ParsedFlags) -> int:
    checks = []
    status = EXIT_OK
    for files in volumes:
        check = _Check(files, parsed)
        checks.append(check)
        try:
            check.run()
        except StorageError as error:
            check.error = str(error)
            complain("check", error)
            status = EXIT_CANNOT
        else:
            status = max(status, check.status)
    if parsed.values["json"]:
        print_json({"volumes": [check.document() for check in checks]})
    return status


class _Check:
    """One volume: inspected, and again after its repair."""

    def __init__(self, files: VolumeFiles, parsed: ParsedFlags) -> None:
        self._files = files
        self._json = bool(parsed.values["json"])
        self._repair = bool(parsed.values["repair"])
        self._report = SUSPICIOUS
        if parsed.values["v"]:
            self._report = _ALL - {ExtentKind.LIVE}
        if parsed.values["all"]:
            self._report = _ALL
        self._extents: list[Extent] = []
        self._done: list[dict[str, Any]] = []
        self._found: Inspection | None = None
        self.error = ""

    @property
    def status(self) -> int:
        """0 when nothing is wrong, or nothing any more."""
        return EXIT_OK if self._found is not None and self._found.sound else EXIT_PROBLEMS

    def run(self) -> None:
        """Inspects it, and mends it when asked to.

        Raises:
            StorageError
        """
        vacuum = vacuum_step(self._files)
        if vacuum is not None:
            if self._repair:
                self._do(vacuum)
            else:
                self._print(f"{self._files.data('')}: to be done: {vacuum.words}")
        found = self._inspect()
        if not self._repair or found.sound:
            return
        steps = repair_steps(found)
        if not steps:
            self._print("  nothing of this can be repaired")
            return
        for step in steps:
            self._print(f"  will {step.words}")
        for step in steps:
            self._do(step)
        self._inspect()

    def _do(self, step: Step) -> None:
        self._print(f"{self._files.data('')}: {step.words}")
        remarks = step.run()
        for remark in remarks:
            self._print(f"  {remark}")
        self._done.append({"step": step.words, "remarks": remarks})

    def _inspect(self) -> Inspection:
        self._extents = []
        if not self._json:
            print(f"{self._files.data('.dat')}")
        with byte_progress(self._files.base) as progress:
            found = inspect_volume(
                self._files, report=self._report, on_extent=self._on_extent, progress=progress
            )
        self._found = found
        self._print(_summary(found))
        return found

    def _on_extent(self, extent: Extent) -> None:
        if self._json:
            self._extents.append(extent)
        else:
            print(f"  {_extent_words(extent)}")

    def _print(self, text: str) -> None:
        if not self._json:
            print(text)

    def document(self) -> dict[str, Any]:
        """For ``-json``."""
        document: dict[str, Any] = {
            "volume": self._files.base,
            "dat": str(self._files.dat),
            "error": self.error,
            "repaired": self._done,
        }
        if self._found is not None:
            document |= _document(self._found)
            document["extents"] = [_extent_document(extent) for extent in self._extents]
        return document


def _extent_words(extent: Extent) -> str:
    words = (
        f"{extent.offset}..{extent.offset + extent.length}  {extent.length} bytes  "
        f"{extent.kind.words}"
    )
    if extent.kind.is_record:
        words += f"  needle {extent.key:x} cookie {extent.cookie:08x} size {extent.size}"
        words += ", which the index leads to" if extent.live and extent.kind else ""
    return words


def _summary(found: Inspection) -> str:
    stat = found.stat
    rows: list[tuple[object, object, object, object]] = [("  kind", "ranges", "bytes", "share")]
    share = 100 / max(found.dat_size, 1)
    kinds = [("super block", 1, found.super_block_bytes)]
    kinds += [(kind.words, stat.count[kind], stat.bytes[kind]) for kind in ExtentKind]
    for words, count, size in kinds:
        if count:
            rows.append((f"  {words}", count, size, f"{size * share:.1f} %"))
    rows.append(("  all", sum(count for _, count, _ in kinds), found.dat_size, "100.0 %"))
    lines = [table(rows)]
    if found.has_index:
        lines.append(
            f"  index: {found.rows} rows, {found.offset_width}-byte offsets, {found.live} live"
        )
    if found.rows_without_record:
        lines.append(
            f"  {found.rows_without_record} deletions name no record, as of a tiered volume"
        )
    lines += [f"  {finding.words}" for finding in found.row_findings]
    if found.rows_wrong > len(found.row_findings):
        lines.append(f"  and {found.rows_wrong - len(found.row_findings)} more rows")
    lines += [f"  PROBLEM: {problem}" for problem in found.problems]
    if found.sound:
        lines.append("  sound")
    return "\n".join(lines)


def _document(found: Inspection) -> dict[str, Any]:
    return {
        "dat_size": found.dat_size,
        "idx_size": found.idx_size,
        "offset_width": found.offset_width,
        "rows": found.rows,
        "live": found.live,
        "lost": found.lost,
        "bytes": {
            "super_block": found.super_block_bytes,
            **{kind.name.lower(): size for kind, size in found.stat.bytes.items()},
        },
        "count": {kind.name.lower(): count for kind, count in found.stat.count.items()},
        "row_findings": [
            {**dataclasses.asdict(finding), "problem": finding.problem.name.lower()}
            for finding in found.row_findings
        ],
        "rows_wrong": found.rows_wrong,
        "rows_without_record": found.rows_without_record,
        "problems": found.problems,
        "sound": found.sound,
    }


def _extent_document(extent: Extent) -> dict[str, Any]:
    document = dataclasses.asdict(extent)
    document["kind"] = extent.kind.name.lower()
    if not extent.kind.is_record:
        for name in ("key", "cookie", "size", "live", "append_at_ns"):
            del document[name]
    return document


COMMAND = offline_command(
    "check",
    _check,
    flags=_flags,
    example="check -dir=/data -volumeId=234",
    description="explain every byte of volumes and every problem of their indexes; mend them",
)
