"""Sizes of resized images, by the rules of the library that upstream uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.http.image_geometry import EMPTY, Scaling, centred, scaling

SIDES = st.integers(1, 5000)


def test_a_large_source_is_cropped_first_and_a_small_one_last() -> None:
    assert scaling((300, 200), 30, 30, "") == Scaling((50, 0, 250, 200), (30, 30), (30, 30))
    assert scaling((60, 40), 30, 30, "") == Scaling((0, 0, 60, 40), (45, 30), (30, 30))


@pytest.mark.parametrize(
    ("source", "width", "height", "size"),
    [
        ((40, 300), 5, 0, (5, 38)),
        ((60, 40), 1, 0, (1, 1)),
        ((200, 1), 30, 0, (30, 1)),
        ((40, 300), 0, 1, (1, 1)),
    ],
)
def test_a_missing_side_follows_the_proportions(
    source: tuple[int, int], width: int, height: int, size: tuple[int, int]
) -> None:
    step = scaling(source, width, height, "")
    assert step is not None and step.size == size


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(["", "fit", "fill"]))
def test_results_have_pixels_and_lie_in_the_source(
    across: int, down: int, width: int, height: int, mode: str
) -> None:
    step = scaling((across, down), width, height, mode)
    if step is None:
        assert across <= width and down <= height
        return
    left, upper, right, lower = step.box
    assert 0 <= left < right <= across and 0 <= upper < lower <= down
    assert step.size[0] <= step.scaled[0] and step.size[1] <= step.scaled[1]
    if mode == "fit":
        assert 1 <= step.size[0] <= max(width, 1) and 1 <= step.size[1] <= max(height, 1)
    else:
        assert step.size == (width, height)
    box = centred(step.scaled, step.size)
    assert (box[2] - box[0], box[3] - box[1]) == step.size


@pytest.mark.parametrize(
    ("width", "height", "mode"),
    [(30, 0, "fit"), (0, 10, "fit"), (30, 0, "fill"), (-1, 10, ""), (30, -1, "")],
)
def test_sizes_without_sense_are_empty(width: int, height: int, mode: str) -> None:
    assert scaling((60, 40), width, height, mode) == EMPTY
