"""``fastvol fix``: make the index of a volume anew from its data file, as ``weed fix`` does.

What lies behind damage is found as well. The old index is replaced when the new one is complete.
"""

from dataclasses import asdict
from typing import Any

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
from fastvol.cli.terminal import byte_progress
from fastvol.cli.volume_choice import chosen_volumes, locked, volume_choice_flags
from fastvol.errors import StorageError
from fastvol.volume.files import VolumeFiles
from fastvol.volume.index_fix import IndexFix, fix_index


def _flags() -> list[Flag]:
    return [
        *volume_choice_flags(),
        Flag("includeDeleted", "bool", True, "keep the deletions in the index"),
        Flag("ignoreError", "bool", False, "go on with other volumes when one cannot be fixed"),
    ]


def _fix(parsed: ParsedFlags, _options: GlobalOptions) -> int:
    volumes = chosen_volumes(parsed)
    done: list[dict[str, Any]] = []
    status = EXIT_OK
    with locked(volumes):
        for files in volumes:
            try:
                fixed = _fix_one(files, parsed)
            except StorageError as error:
                complain("fix", error)
                status = EXIT_CANNOT
                done.append({"volume": files.base, "error": str(error)})
                if not parsed.values["ignoreError"]:
                    break
            else:
                done.append(document_of(files, fixed))
                status = max(status, EXIT_OK if fixed.clean else EXIT_PROBLEMS)
    if parsed.values["json"]:
        print_json({"volumes": done})
    return status


def _fix_one(files: VolumeFiles, parsed: ParsedFlags) -> IndexFix:
    with byte_progress(files.base) as progress:
        fixed = fix_index(
            files, include_deleted=bool(parsed.values["includeDeleted"]), progress=progress
        )
    if not parsed.values["json"]:
        print("\n".join(describe(fixed)))
    return fixed


def describe(fixed: IndexFix) -> list[str]:
    """What was done, in lines."""
    lines = [
        f"{fixed.path}: replaced by {fixed.rows} rows of {fixed.records} records "
        f"(it had {fixed.rows_before} rows)"
    ]
    lines += [f"  note: {problem}" for problem in fixed.problems]
    for extent in fixed.skipped:
        end = extent.offset + extent.length
        where = f"{extent.kind.words} at {extent.offset}..{end} ({extent.length} bytes)"
        if extent.kind.is_record:
            lines.append(f"  kept its row: {where}, needle {extent.key:x}")
        else:
            lines.append(f"  skipped: {where}")
    if fixed.skipped_more:
        lines.append(f"  and {fixed.skipped_more} more places")
    if fixed.read_errors:
        lines.append(f"  the disk refused {fixed.read_errors} reads, taken for damage")
    if fixed.gave_up:
        lines.append("  damage with too many candidates for records: some may have been missed")
    return lines


def document_of(files: VolumeFiles, fixed: IndexFix) -> dict[str, Any]:
    """The same for ``-json``."""
    return {
        "volume": files.base,
        "index": str(fixed.path),
        "rows": fixed.rows,
        "records": fixed.records,
        "rows_before": fixed.rows_before,
        "offset_width": fixed.offset_width,
        "skipped": [
            {**asdict(extent), "kind": extent.kind.name.lower()} for extent in fixed.skipped
        ],
        "skipped_more": fixed.skipped_more,
        "read_errors": fixed.read_errors,
        "gave_up": fixed.gave_up,
        "problems": fixed.problems,
    }


COMMAND = offline_command(
    "fix",
    _fix,
    flags=_flags,
    example="fix -volumeId=234 /data",
    description="make the index of volumes anew from their data files (stop the server first)",
)
