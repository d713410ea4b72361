"""``fastvol scrub``: checks the files of volumes, changes nothing.

It may run beside the server that serves them: what is appended meanwhile is not looked at.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

from fastvol.cli.command import EXIT_OK
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import Flag, ParsedFlags
from fastvol.cli.offline import EXIT_PROBLEMS, offline_command, print_json
from fastvol.cli.terminal import ProgressLine, count_words, size_words
from fastvol.cli.volume_choice import chosen_volumes, volume_choice_flags
from fastvol.errors import UsageError, VolumeDamagedError
from fastvol.limits import MIB
from fastvol.volume.files import VolumeFiles
from fastvol.volume.scrub import ScrubControl, ScrubMode, ScrubProgress, ScrubResult, scrub_files
from fastvol.volume.throttle import Throttle

_MODES: Final = {mode.name.lower(): mode for mode in ScrubMode}


def _flags() -> list[Flag]:
    return [
        *volume_choice_flags(),
        Flag(
            "mode",
            "string",
            "full",
            "index: only the rows; full (or local, reads): also every record they point at",
        ),
        Flag(
            "limitMBps",
            "int",
            0,
            "read no more than so many megabytes per second; 0: no limit",
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Scrubbed:
    files: VolumeFiles
    result: ScrubResult
    seconds: float


def _scrub(parsed: ParsedFlags, _options: GlobalOptions) -> int:
    mode = _MODES.get(str(parsed.values["mode"]).lower())
    if mode is None:
        raise UsageError(f"-mode={parsed.values['mode']} is none of {', '.join(_MODES)}")
    volumes = chosen_volumes(parsed)
    progress = ProgressLine()
    control = ScrubControl(
        throttle=Throttle(int(parsed.values["limitMBps"]) * MIB),
        on_progress=lambda now: progress.show(_progress_words(now)),
    )
    scrubbed = []
    for files in volumes:
        began = time.monotonic()
        result = _scrub_one(files, mode, control)
        scrubbed.append(_Scrubbed(files, result, time.monotonic() - began))
        progress.clear()
        if not parsed.values["json"]:
            _print_volume(scrubbed[-1])
    total = ScrubResult()
    for one in scrubbed:
        total.add(one.result)
    seconds = sum(one.seconds for one in scrubbed)
    if parsed.values["json"]:
        print_json(_document(scrubbed, total, mode, seconds))
    else:
        print(_summary(total, seconds))
    return EXIT_PROBLEMS if total.findings else EXIT_OK


def _scrub_one(files: VolumeFiles, mode: ScrubMode, control: ScrubControl) -> ScrubResult:
    """A volume whose files cannot even be opened is broken, and the others are still looked at."""
    try:
        return scrub_files(files, mode, control)
    except VolumeDamagedError as error:
        result = ScrubResult(total_volumes=1, broken_volume_ids=[files.volume_id])
        result.note(str(error))
        return result


def _progress_words(now: ScrubProgress) -> str:
    return (
        f"volume {now.volume_id}: {now.rows_read} of {now.rows} rows, "
        f"{size_words(now.bytes_read)}, {count_words(now.findings, 'finding')}"
    )


def _print_volume(one: _Scrubbed) -> None:
    path = one.files.dat
    for detail in one.result.details:
        print(f"{path}: {detail}")
    if one.result.omitted:
        print(f"{path}: and {one.result.omitted} more")
    if not one.result.findings:
        print(
            f"{path}: sound, {count_words(one.result.total_files, 'index row')}, "
            f"{size_words(one.result.bytes_read)} read"
        )


def _summary(total: ScrubResult, seconds: float) -> str:
    broken = len(total.broken_volume_ids)
    found = (
        f"{count_words(total.findings, 'finding')} in {count_words(broken, 'volume')}"
        if total.findings
        else "nothing found"
    )
    rate = size_words(total.bytes_read / seconds) if seconds else "all"
    return (
        f"{count_words(total.total_volumes, 'volume')}, "
        f"{count_words(total.total_files, 'index row')}, {size_words(total.bytes_read)} read in "
        f"{seconds:.1f} s ({rate}/s): {found}"
    )


def _document(
    scrubbed: list[_Scrubbed], total: ScrubResult, mode: ScrubMode, seconds: float
) -> dict[str, Any]:
    return {
        "mode": mode.name.lower(),
        "total_volumes": total.total_volumes,
        "total_files": total.total_files,
        "bytes_read": total.bytes_read,
        "seconds": round(seconds, 3),
        "findings": total.findings,
        "broken_volume_ids": total.broken_volume_ids,
        "volumes": [
            {
                "volume_id": one.files.volume_id,
                "collection": one.files.collection,
                "dat": str(one.files.dat),
                "total_files": one.result.total_files,
                "bytes_read": one.result.bytes_read,
                "findings": one.result.findings,
                "details": one.result.details,
            }
            for one in scrubbed
        ],
    }


COMMAND = offline_command(
    "scrub",
    _scrub,
    flags=_flags,
    example="scrub -dir=/data -mode=full -limitMBps=100",
    description="check index and records of volumes on disk; exit status 1 when something is wrong",
)
