"""The Prometheus text format, version 0.0.4, as the Go client writes it.

``prometheus_client`` could render it too, but would append ``_total`` to every counter's name. Here a
counter is named as its samples are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastvol.observability.go_floats import go_float

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric
    from prometheus_client.samples import Sample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
"""What weed answers with."""

_TYPES: Final = {"unknown": "untyped"}


def render(families: Iterable[Metric]) -> bytes:
    """All families that have samples, by name; labels in alphabetical order."""
    named = sorted(((_name(family), family) for family in families if family.samples), key=_first)
    lines: list[str] = []
    for name, family in named:
        lines.append(f"# HELP {name} {_escape_help(family.documentation)}\n")
        lines.append(f"# TYPE {name} {_TYPES.get(family.type, family.type)}\n")
        lines += map(_line, family.samples)
    return "".join(lines).encode("utf-8", "replace")


def _first(pair: tuple[str, Metric]) -> str:
    return pair[0]


def _name(family: Metric) -> str:
    return family.samples[0].name if family.type == "counter" else family.name


def _line(sample: Sample) -> str:
    if not sample.labels:
        return f"{sample.name} {go_float(sample.value)}\n"
    labels = ",".join(f'{name}="{escape(sample.labels[name])}"' for name in sorted(sample.labels))
    return f"{sample.name}{{{labels}}} {go_float(sample.value)}\n"


def escape(value: str) -> str:
    """A label's value between its quotes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
