"""``fastvol compare``: whether two replicas hold the same needles; changes nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastvol.cli.command import EXIT_OK
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import Flag, ParsedFlags
from fastvol.cli.offline import EXIT_PROBLEMS, offline_command, print_json
from fastvol.cli.terminal import ProgressLine, count_words
from fastvol.cli.volume_choice import find_volumes, is_selected, selection_flags
from fastvol.errors import StorageError, UsageError
from fastvol.limits import COMPARE_DETAILS_MAX
from fastvol.volume.comparison import Comparison, Difference, Kind, compare_files
from fastvol.volume.files import VolumeFiles

_WORDS: Final = {
    Kind.ONLY_A: "only in A",
    Kind.ONLY_B: "only in B",
    Kind.UNREADABLE: "unreadable",
    Kind.COOKIE: "with another cookie",
    Kind.SIZE: "of another size",
    Kind.CHECKSUM: "with another checksum",
}


def _flags() -> list[Flag]:
    return [
        *selection_flags(),
        Flag(
            "dir.idx",
            "string",
            "",
            "directory of A's index files; empty: beside the data",
        ),
        Flag("dir.idx.b", "string", "", "as -dir.idx, of B"),
        Flag(
            "limit",
            "int",
            COMPARE_DETAILS_MAX,
            "list no more than so many differences of a volume; all are counted",
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Pair:
    """One volume; a side without it is None."""

    base: str
    a: VolumeFiles | None
    b: VolumeFiles | None
    comparison: Comparison | None = None

    @property
    def differs(self) -> bool:
        return self.comparison is None or self.comparison.different > 0


def _compare(parsed: ParsedFlags, _options: GlobalOptions) -> int:
    progress = ProgressLine()
    pairs = []
    try:
        for pair in _pairs(parsed):
            pairs.append(_compared(pair, int(parsed.values["limit"]), progress))
            progress.clear()
            if not parsed.values["json"]:
                _print_pair(pairs[-1])
    finally:
        progress.clear()
    if parsed.values["json"]:
        print_json({"volumes": [_document(pair) for pair in pairs]})
    return EXIT_PROBLEMS if any(pair.differs for pair in pairs) else EXIT_OK


def _pairs(parsed: ParsedFlags) -> list[_Pair]:
    if len(parsed.arguments) != 2:
        raise UsageError("compare takes two directories or two data files")
    places = [Path(place) for place in parsed.arguments]
    index_directories = [str(parsed.values[name]) for name in ("dir.idx", "dir.idx.b")]
    found = [
        find_volumes(place, Path(index) if index else None)
        for place, index in zip(places, index_directories, strict=True)
    ]
    if not any(place.is_dir() for place in places):
        return [_Pair(found[0][0].base, found[0][0], found[1][0])]
    a, b = ({files.base: files for files in side if is_selected(files, parsed)} for side in found)
    if not a and not b:
        raise StorageError(f"no such volume in {places[0]} and {places[1]}")
    volumes = {**b, **a}
    order = sorted(volumes, key=lambda base: (volumes[base].volume_id, base))
    return [_Pair(base, a.get(base), b.get(base)) for base in order]


def _compared(pair: _Pair, limit: int, progress: ProgressLine) -> _Pair:
    if pair.a is None or pair.b is None:
        return pair
    comparison = compare_files(
        pair.a,
        pair.b,
        differences_max=max(0, limit),
        on_progress=lambda done: progress.show(f"volume {pair.base}: {done} needles"),
    )
    return _Pair(pair.base, pair.a, pair.b, comparison)


def _print_pair(pair: _Pair) -> None:
    comparison = pair.comparison
    if comparison is None:
        print(f"volume {pair.base}: only in {'A' if pair.b is None else 'B'}")
        return
    for difference in comparison.differences:
        print(
            f"volume {pair.base}: needle {difference.needle_id:x}: {_difference_words(difference)}"
        )
    if comparison.omitted:
        print(f"volume {pair.base}: and {comparison.omitted} more")
    needles = count_words(comparison.needles, "needle")
    if not comparison.different:
        print(f"volume {pair.base}: {needles}, all the same")
        return
    kinds = ", ".join(
        f"{comparison.counts[kind]} {words}"
        for kind, words in _WORDS.items()
        if comparison.counts[kind]
    )
    print(f"volume {pair.base}: {needles}, {comparison.different} not the same: {kinds}")


def _difference_words(difference: Difference) -> str:
    if difference.kind is Kind.ONLY_A:
        return f"only in A (size {difference.sizes[0]})"
    if difference.kind is Kind.ONLY_B:
        return f"only in B (size {difference.sizes[1]})"
    if difference.kind is Kind.UNREADABLE:
        return ", ".join(
            f"unreadable in {side}: {reason}"
            for side, reason in zip("AB", difference.reasons, strict=True)
            if reason
        )
    if difference.kind is Kind.COOKIE:
        a, b = (f"{cookie:08x}" for cookie in difference.cookies)
        return f"cookie {a} in A, {b} in B"
    if difference.kind is Kind.SIZE:
        return f"size {difference.sizes[0]} in A, {difference.sizes[1]} in B"
    a, b = (f"{checksum:08x}" for checksum in difference.checksums)
    return f"checksum {a} in A, {b} in B"


def _document(pair: _Pair) -> dict[str, Any]:
    comparison = pair.comparison
    document: dict[str, Any] = {
        "volume": pair.base,
        "a": None if pair.a is None else str(pair.a.dat),
        "b": None if pair.b is None else str(pair.b.dat),
        "same": not pair.differs,
    }
    if comparison is not None:
        document["needles"] = comparison.needles
        document["counts"] = {kind.name.lower(): comparison.counts[kind] for kind in Kind}
        document["differences"] = [_difference_document(one) for one in comparison.differences]
    return document


def _difference_document(difference: Difference) -> dict[str, Any]:
    return {
        "needle": f"{difference.needle_id:x}",
        "kind": difference.kind.name.lower(),
        "words": _difference_words(difference),
    }


COMMAND = offline_command(
    "compare",
    _compare,
    flags=_flags,
    example="compare -volumeId=7 /data /backup",
    description="compare two replicas needle by needle; exit status 1 when they are not the same",
)
