"""Two planes a test module: one as servers run, one that loses patience within a second."""

from collections.abc import Iterator

import pytest

from fastvol.http.plane import PlaneOptions
from tests.wire.live_plane import LivePlane
from tests.wire.wire_requests import fill


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    with LivePlane(tmp_path_factory.mktemp("plane")) as made:
        fill(made)
        yield made


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    options = PlaneOptions(idle_seconds=1.0, head_seconds=0.6, file_bytes_max=1 << 20)
    with LivePlane(tmp_path_factory.mktemp("hasty"), options=options) as made:
        fill(made)
        yield made
