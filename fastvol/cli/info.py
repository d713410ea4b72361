"""``fastvol info``: what is known of volumes without reading their data; changes nothing."""

import dataclasses
import time
from typing import Any

from fastvol.cli.command import EXIT_OK
from fastvol.cli.global_flags import GlobalOptions
from fastvol.cli.go_flags import ParsedFlags
from fastvol.cli.offline import EXIT_PROBLEMS, offline_command, print_json
from fastvol.cli.terminal import size_words, table
from fastvol.cli.volume_choice import chosen_volumes, volume_choice_flags
from fastvol.volume.description import Description, FoundFile, describe_volume


def _info(parsed: ParsedFlags, _options: GlobalOptions) -> int:
    found = [describe_volume(files) for files in chosen_volumes(parsed)]
    if parsed.values["json"]:
        print_json({"volumes": [document_of(one) for one in found]})
    else:
        print("\n\n".join(text_of(one) for one in found))
    return EXIT_OK if all(one.sound for one in found) else EXIT_PROBLEMS


def document_of(description: Description) -> dict[str, Any]:
    """One volume for ``-json``."""
    document = dataclasses.asdict(description)
    for found in document["files"]:
        found["path"] = str(found["path"])
    document["sound"] = description.sound
    return document


def text_of(description: Description) -> str:
    """One volume for people."""
    collection = f" of collection {description.collection}" if description.collection else ""
    lines = [f"volume {description.volume_id}{collection}"]
    if description.problem:
        lines.append(f"  cannot be opened: {description.problem}")
    lines += ["  files", _indented(table([_file_row(found) for found in description.files]))]
    for title, section in (
        ("super block", description.super_block),
        (".vif", description.info),
        ("index", description.index),
        ("needles by the index", description.needles),
    ):
        if section:
            rows = [
                (name.replace("_", " "), _shown(name, value)) for name, value in section.items()
            ]
            lines += [f"  {title}", _indented(table(rows, left=2))]
    for title, sentences in (
        ("a server opens it read-only", description.read_only),
        ("notes", description.notes),
    ):
        if sentences:
            lines += [f"  {title}", *(f"    {sentence}" for sentence in sentences)]
    return "\n".join(lines)


def _file_row(found: FoundFile) -> tuple[str, str, str, str]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.modified))
    meaning = f"{found.mode}  {when}  {found.meaning}".rstrip()
    return str(found.path), str(found.size), size_words(found.size), meaning


def _shown(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith(("bytes", "size")):
        return f"{value} ({size_words(value)})" if value >= 1000 else str(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value) or "-"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


COMMAND = offline_command(
    "info",
    _info,
    flags=volume_choice_flags,
    example="info -dir=/data -volumeId=234",
    description="tell what volumes are by their super blocks, .vif files and indexes",
)
