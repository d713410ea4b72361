"""Thousands of requests drawn from a seed, to the real server and to ours: whole answers are equal.

``FASTVOL_GENERATED_REQUESTS`` and ``FASTVOL_GENERATED_SEED`` ask for more, or for others. What differs
on purpose stands in generated_answers with its reason.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Final

import pytest
from cluster import FASTVOL, Server, master_server, started, volume_server, weed
from differential_client import Client, Exchange
from differential_request import FILE_LIMIT_MIB, Case
from generated_answers import Texts, like_sizes, same
from generated_requests import Generator, text_cases
from test_differential import SLOW, prepare, public, public_port_of

pytestmark = pytest.mark.interop

REQUESTS: Final = int(os.environ.get("FASTVOL_GENERATED_REQUESTS", "10000"))
SEED: Final = int(os.environ.get("FASTVOL_GENERATED_SEED", "448"))
SHOWN_MAX: Final = int(os.environ.get("FASTVOL_GENERATED_SHOWN", "10"))


@pytest.fixture(name="servers", scope="module")
def servers_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """The real server, ours, and ours without its fast path, with the same volumes.

    Each has a master of its own: asked where a chunk is, a common one would name any of them.
    """
    masters, servers = [], {}
    limit = f"-fileSizeLimitMB={FILE_LIMIT_MIB}"
    for name, program, extra in (
        ("weed", None, ()),
        ("fast", FASTVOL, ()),
        ("complete", FASTVOL, SLOW),
    ):
        base = tmp_path_factory.mktemp(name)
        master = master_server(base)
        command = program or weed(base)
        masters.append(master)
        servers[name] = volume_server(
            command, base, base / "v", [master.port], limit, public(), *extra
        )
    with started(*masters, *servers.values()):
        for server in servers.values():
            server.ready()
            prepare(server)
        yield servers


def exchange_all(server: Server, cases: list[Case]) -> list[Exchange]:
    admin, reader = Client(server.port), Client(public_port_of(server))
    with closing(admin), closing(reader):
        return [(reader if case.public else admin).exchange(case) for case in cases]


@pytest.mark.timeout(400)
def test_generated_requests_get_the_same_answers(servers: dict[str, Server]) -> None:
    cases = list(Generator(SEED).cases(REQUESTS))
    learned = len(list(text_cases()))
    found, texts = {}, {}
    for name, server in servers.items():
        exchanges = exchange_all(server, cases)
        texts[name] = Texts.of(exchanges[:learned])
        found[name] = [texts[name].settled(*pair) for pair in zip(cases, exchanges, strict=True)]
    differences = []
    for ours in ("fast", "complete"):
        gaps = texts[ours].deletions(texts["weed"])
        for number, (case, theirs, mine) in enumerate(
            zip(cases, found["weed"], found[ours], strict=True)
        ):
            if number >= learned and not same(case, theirs, like_sizes(theirs, mine, gaps)):
                differences.append(f"{ours} {number}: {case.title[:400]}\n{unlike(theirs, mine)}\n")
    shown = "\n".join(islice(differences, SHOWN_MAX))
    assert not differences, f"seed {SEED}: {len(differences)} answers differ\n{shown}"


def unlike(theirs: Exchange, mine: Exchange) -> str:
    """The lines in which the two differ, and the bytes where the bodies do so late."""
    lines = difflib.unified_diff(str(theirs).split("\n"), str(mine).split("\n"), lineterm="", n=0)
    found = [*lines]
    for left, right in zip(theirs.answers, mine.answers, strict=True):
        if left and right and len(left.body) == len(right.body):
            pairs = enumerate(zip(left.body, right.body, strict=True))
            first = next((number for number, (a, b) in pairs if a != b), 0)
            at = slice(first, first + 60)
            found.append(f"from {at.start}: {left.body[at]!r} {right.body[at]!r}")
    return "\n".join(found)
