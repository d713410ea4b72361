"""``fastvol compact``: a vacuum of volumes that no server has.

As with ``weed compact`` (weed/command/compact.go) the new files are left beside the volume, and the
next server start removes them; ``-commit`` puts them in its place.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from fastvol.cli.command import EXIT_OK
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import Flag, ParsedFlags
from fastvol.cli.offline import offline_command, print_json
from fastvol.cli.terminal import byte_progress
from fastvol.cli.volume_choice import chosen_volumes, locked, volume_choice_flags
from fastvol.errors import StorageError, UsageError, reason_of
from fastvol.limits import MIB, OFFSET_WIDTH_DEFAULT
from fastvol.volume.files import VolumeFiles, storage_errors
from fastvol.volume.opened import OpenedVolume
from fastvol.volume.opening import open_volume
from fastvol.volume.vacuum import METHODS, Vacuum, VacuumPlan, VacuumReport, check_room
from fastvol.volume.vacuum_files import settle

_BUILT: Final = (".cpd", ".cpx")


def _flags() -> list[Flag]:
    return [
        *volume_choice_flags(),
        Flag("method", "string", "data", "order of the new files: data (as it lies) or index"),
        Flag("preallocateMB", "int", 0, "reserve so much space for the new data file"),
        Flag("commit", "bool", False, "put the new files in the place of the old ones"),
    ]


def _compact(parsed: ParsedFlags, _options: GlobalOptions) -> int:
    method = str(parsed.values["method"])
    if method not in METHODS:
        raise UsageError(f"unsupported compaction method {method}: data or index")
    volumes = chosen_volumes(parsed)
    done = []
    with locked(volumes):
        for files in volumes:
            report = _compact_one(files, parsed)
            done.append(_document(files, report, parsed))
            if not parsed.values["json"]:
                print(_words(files, report, parsed))
    if parsed.values["json"]:
        print_json({"volumes": done})
    return EXIT_OK


def _compact_one(files: VolumeFiles, parsed: ParsedFlags) -> VacuumReport:
    with storage_errors(files):
        settle(files)
    opened = open_volume(files, default_offset_width=OFFSET_WIDTH_DEFAULT)
    try:
        with byte_progress(files.base) as show:
            return _vacuum(opened, parsed, show)
    finally:
        opened.native.release()


def _vacuum(
    opened: OpenedVolume, parsed: ParsedFlags, show: Callable[[int, int], None]
) -> VacuumReport:
    base = opened.files.base
    if opened.damage:
        # Its index does not tell what is alive, and a vacuum would drop the rest for good.
        words = "; ".join(reason.words for reason in opened.damage)
        raise StorageError(f"volume {base} must be repaired first: {words}")
    stat = opened.native.stat()

    def progress(position: int) -> bool:
        show(position, stat.dat_size)
        return True

    plan = VacuumPlan(
        order=METHODS[str(parsed.values["method"])],
        preallocate=int(parsed.values["preallocateMB"]) * MIB,
        progress=progress,
    )
    check_room(
        opened.files,
        dat_size=stat.dat_size,
        idx_size=stat.idx_size,
        preallocate=plan.preallocate,
    )
    vacuum = Vacuum(opened.files, opened.native, opened.super_block, plan)
    report = vacuum.build()
    if not parsed.values["commit"]:
        vacuum.keep()
        return report
    vacuum.declare_complete()
    try:
        vacuum.swap()
    except OSError as error:
        raise StorageError(
            f"volume {base}: {reason_of(error)}; the next start of a server goes on"
        ) from error
    return report


def _words(files: VolumeFiles, report: VacuumReport, parsed: ParsedFlags) -> str:
    where = "put in its place"
    if not parsed.values["commit"]:
        names = " and ".join(f"{files.base}{extension}" for extension in _BUILT)
        where = f"left in {names}; the next start of a server removes them"
    words = (
        f"{files.data('.dat')}: {report.dat_size_before} -> {report.dat_size} bytes, "
        f"{report.records} records, {where}"
    )
    for count, what in (
        (report.expired, "expired records dropped"),
        (report.unreadable, "rows without a record dropped"),
        (report.carried, "damaged records carried over"),
    ):
        words += f"\n  {count} {what}" if count else ""
    return words


def _document(files: VolumeFiles, report: VacuumReport, parsed: ParsedFlags) -> dict[str, Any]:
    return {"volume": files.base, "committed": bool(parsed.values["commit"]), **asdict(report)}


COMMAND = offline_command(
    "compact",
    _compact,
    flags=_flags,
    example="compact -dir=/data -volumeId=234 -commit",
    description="drop what is deleted and overwritten from volumes (stop the server first)",
)
