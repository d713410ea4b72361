"""The text that scrapers parse."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastvol.observability.exposition import render
from fastvol.observability.families import counter, gauge, histogram
from fastvol.observability.go_floats import go_float
from fastvol.observability.histogram import (
    SECONDS_BOUNDS,
    TARGETS_BOUNDS,
    Histogram,
    Observed,
    merged,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (-2.5, "-2.5"),
        (0.0001, "0.0001"),
        (0.00005, "5e-05"),
        (838.8608, "838.8608"),
        (100000, "100000"),
        (1000000, "1e+06"),
        (270553174016, "2.70553174016e+11"),
        (18446744073709551615, "1.8446744073709552e+19"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_print_as_go_prints_them(value: float, text: str) -> None:
    assert go_float(value) == text


def test_a_counter_keeps_a_name_without_total() -> None:
    text = render([counter("file_read_failures", "Help.", [({}, 3)])]).decode()
    assert text == (
        "# HELP SeaweedFS_volumeServer_file_read_failures Help.\n"
        "# TYPE SeaweedFS_volumeServer_file_read_failures counter\n"
        "SeaweedFS_volumeServer_file_read_failures 3\n"
    )


def test_labels_are_escaped_and_in_order() -> None:
    odd = 'a"b\\c\nd\u00e9'
    family = gauge("volumes", "One\nline.", [({"type": "volume", "collection": odd}, 1)])
    text = render([family]).decode()
    assert "# HELP SeaweedFS_volumeServer_volumes One\\nline.\n" in text
    assert '{collection="a\\"b\\\\c\\ndé",type="volume"} 1\n' in text
    (parsed,) = text_string_to_metric_families(text)
    assert parsed.samples[0].labels == {"type": "volume", "collection": odd}


def test_a_lone_surrogate_does_not_break_the_scrape() -> None:
    """A directory's name may hold bytes that are no UTF-8."""
    assert b"?" in render([gauge("resource", "Help.", [({"name": "/d\udcff"}, 1)])])


def test_families_come_by_name_and_empty_ones_not_at_all() -> None:
    families = [gauge("b", "", [({}, 1)]), gauge("c", "", []), gauge("a", "", [({}, 2)])]
    lines = [line for line in render(families).decode().splitlines() if line[0] != "#"]
    assert lines == ["SeaweedFS_volumeServer_a 2", "SeaweedFS_volumeServer_b 1"]


def test_a_histogram_adds_its_buckets_up() -> None:
    family = histogram("t", "", TARGETS_BOUNDS, [({}, Observed((2, 0, 1, 0, 0, 4), 31.0))])
    values = [
        (sample.name.rpartition("_")[2], sample.labels.get("le"), sample.value)
        for sample in family.samples
    ]
    assert values == [
        ("bucket", "1", 2),
        ("bucket", "2", 2),
        ("bucket", "3", 3),
        ("bucket", "4", 3),
        ("bucket", "5", 3),
        ("bucket", "+Inf", 7),
        ("sum", None, 31.0),
        ("count", None, 7),
    ]


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram_ = Histogram()
    assert len(SECONDS_BOUNDS) == 24 and go_float(SECONDS_BOUNDS[-1]) == "838.8608"
    for value in (0, 0.0001, 0.00011, 838.8608, 1000):
        histogram_.observe(value)
    counts, total = histogram_.observed()
    assert (counts[0], counts[1], counts[23], counts[24]) == (2, 1, 1, 1)
    assert total == pytest.approx(1838.86101)


def test_two_halves_of_a_histogram_add_up() -> None:
    assert merged(Observed((1, 2), 3.0), Observed((4, 5), 6.0)) == Observed([5, 7], 9.0)
