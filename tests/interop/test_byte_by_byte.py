"""Every request of the differential test, byte by byte: the answers are those to all of it at once."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from differential_cases import all_cases
from differential_client import Client, Exchange
from differential_request import IN_COLLECTION, ORDINARY, READ_ONLY, WITH_TTL, Case
from generated_requests import Generator

from fastvol.http.plane import PlaneOptions
from tests.wire.live_plane import LivePlane

DRIPPED_BYTES_MAX: Final = 1500
"""Of each request; the rest of a long one follows in larger pieces."""
PIECE_BYTES: Final = 4096
GENERATED: Final = 1500
CASES: Final[list[Case]] = [
    case for case in [*all_cases(), *Generator(7).cases(GENERATED)] if not case.public
]


class DrippingClient(Client):
    """Sends one byte after another."""

    def _send(self, data: bytes) -> None:
        cut = DRIPPED_BYTES_MAX
        pieces = [data[at : at + 1] for at in range(min(cut, len(data)))]
        pieces += [data[at : at + PIECE_BYTES] for at in range(cut, len(data), PIECE_BYTES)]
        super()._send(pieces[0])
        assert self._socket is not None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces[1:]:
            super()._send(piece)


def answers(directory: Path, kind: type[Client], *, fast: bool) -> list[Exchange]:
    directory.mkdir()
    options = PlaneOptions(file_bytes_max=4 << 20)
    with LivePlane(directory, options=options, fast_read=fast, fast_write=fast) as plane:
        for volume_id in (ORDINARY, IN_COLLECTION, READ_ONLY):
            plane.add_volume(volume_id)
        plane.add_volume(WITH_TTL, ttl="20y")
        client = kind(plane.port)
        with closing(client):
            return [client.exchange(case) for case in CASES]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fast", [True, False])
def test_byte_by_byte_equals_all_at_once(tmp_path: Path, fast: bool) -> None:
    whole = answers(tmp_path / "whole", Client, fast=fast)
    dripped = answers(tmp_path / "dripped", DrippingClient, fast=fast)
    for case, at_once, slowly in zip(CASES, whole, dripped, strict=True):
        assert final(slowly) == final(at_once), (
            f"{case.title}\n--- at once\n{at_once}\n--- slowly\n{slowly}"
        )


def final(exchange: Exchange) -> Exchange:
    """Without invitations: a body that is there already needs none."""
    answers = tuple(answer and replace(answer, interim=()) for answer in exchange.answers)
    return replace(exchange, answers=answers)
