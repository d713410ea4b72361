"""What a token for one object opens on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastvol.errors import NeedleNotFoundError
from fastvol.http.guard import OpenGuard
from fastvol.http.request import Request
from tests.wire.live_plane import LivePlane
from tests.wire.wire_requests import raw_post, status_of

ALLOWED = "1,a00001234"


class OneObject(OpenGuard):
    """Every request carries a token for ALLOWED."""

    def allows_write(self, _request: Request, vid: str, fid: str) -> bool:
        return f"{vid},{fid}" == ALLOWED


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[LivePlane]:
    with LivePlane(tmp_path, fast_write=False, guard=OneObject()) as made:
        yield made


def test_a_token_writes_its_object_only(plane: LivePlane) -> None:
    volume = plane.add_volume(1)
    for fid, status in (
        (ALLOWED, 201),
        ("1,b00001234", 401),
        # Checked is what a read would take from the path, stored what stands behind the last comma.
        ("1/a00001234/x,b00001234", 401),
        ("1/a00001234/x,a00001234", 204),
        ("1/a00001234", 400),
    ):
        assert status_of(plane.exchange(raw_post(0, b"data", fid=fid))) == status, fid
    with pytest.raises(NeedleNotFoundError):
        volume.read(0xB)
