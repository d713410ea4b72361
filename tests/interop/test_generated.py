"""Thousands of requests drawn from a seed, to the real server and to ours: whole answers are equal.

``FASTVOL_GENERATED_REQUESTS`` and ``FASTVOL_GENERATED_SEED`` ask for more, or for others. What differs
on purpose stands in DEVIATIONS with its reason.
"""

from __future__ import annotations

import difflib
import os
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Final

import pytest
from cluster import Server
from differential_client import Answer, Client, Exchange
from differential_request import Case
from generated_requests import Generator
from test_differential import public_port_of, servers_fixture  # noqa: F401

pytestmark = pytest.mark.interop

REQUESTS: Final = int(os.environ.get("FASTVOL_GENERATED_REQUESTS", "10000"))
SEED: Final = int(os.environ.get("FASTVOL_GENERATED_SEED", "448"))
SHOWN_MAX: Final = 10


def exchange_all(server: Server, cases: list[Case]) -> list[Exchange]:
    admin, reader = Client(server.port), Client(public_port_of(server))
    with closing(admin), closing(reader):
        return [(reader if case.public else admin).exchange(case) for case in cases]


@pytest.mark.timeout(400)
def test_generated_requests_get_the_same_answers(servers: dict[str, Server]) -> None:
    cases = list(Generator(SEED).cases(REQUESTS))
    found = {name: exchange_all(server, cases) for name, server in servers.items()}
    differences = []
    for ours in ("fast", "complete"):
        for number, (case, theirs, mine) in enumerate(
            zip(cases, found["weed"], found[ours], strict=True)
        ):
            if theirs != mine and not deliberate(case, theirs, mine):
                differences.append(f"{ours} {number}: {case.title[:300]}\n{unlike(theirs, mine)}\n")
    shown = "\n".join(islice(differences, SHOWN_MAX))
    assert not differences, f"seed {SEED}: {len(differences)} answers differ\n{shown}"


def unlike(theirs: Exchange, mine: Exchange) -> str:
    """The lines in which the two differ."""
    return "\n".join(
        difflib.unified_diff(str(theirs).split("\n"), str(mine).split("\n"), lineterm="", n=0)
    )


# --- deliberate differences ---------------------------------------------------------------------

UNREAD_BYTES: Final = 256 << 10
"""Go's server closes a connection on which its handler left more than this unread."""


def deliberate(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """Whether the answers differ only where they shall."""
    return only_the_connection(case, theirs, mine)


def only_the_connection(case: Case, theirs: Exchange, mine: Exchange) -> bool:
    """The parts behind the first file of a large form are not read there; here all is, and the
    connection goes on."""
    kept = [answer and without(answer, "Connection") for answer in theirs.answers]
    return (
        case.group == "form"
        and len(case.raw) > UNREAD_BYTES
        and (theirs.stays_open, mine.stays_open) == (False, True)
        and kept == list(mine.answers)
    )


def without(answer: Answer, name: str) -> Answer:
    return replace(answer, headers=tuple(pair for pair in answer.headers if pair[0] != name))
