"""The same requests to ``weed volume`` and to fastvol: the same answers, header by header.

Compared are status line, header names, values and order, body, interim answers, and whether the
connection stays open. What differs on purpose stands in DEVIATIONS with its reason.

Not asked yet, because fastvol does not build it yet: chunk manifests, images, proxying and
redirecting reads of volumes on other servers, the UI page, throttling, replicated volumes,
and answers with several ranges (whose boundary is random).
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from cluster import (
    FASTVOL,
    Server,
    allocate,
    master_server,
    started,
    volume_rpc,
    volume_server,
    weed,
)
from daemons import free_ports
from differential_cases import all_cases
from differential_client import Client, Exchange
from differential_request import (
    BINARY,
    COOKIE,
    FILE_LIMIT_MIB,
    IN_COLLECTION,
    ORDINARY,
    READ_ONLY,
    TS,
    WITH_TTL,
)
from http_calls import get, put

from fastvol.cli.volume_flags import volume_flags
from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

CASES: Final = all_cases()
GROUPS: Final = list(dict.fromkeys(case.group for case in CASES))
SHOWN_MAX: Final = 8
SLOW: Final = [f"-{name}=false" for name in volume_flags().flags if name.startswith("fast")]
"""Flags that turn every fast path of ours off."""
ALLOCATED: Final = (ORDINARY, IN_COLLECTION, WITH_TTL, READ_ONLY)

# --- deliberate differences ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deviation:
    """Why an answer differs, and what must hold all the same."""

    reason: str
    holds: Callable[[Exchange, Exchange], bool]
    """Takes their exchange and ours."""


def _same_but_for_deflate(theirs: Exchange, ours: Exchange) -> bool:
    return _without_deflate(theirs) == _without_deflate(ours)


def _without_deflate(exchange: Exchange) -> Exchange:
    (answer,) = exchange.answers
    assert answer is not None
    size_depends = answer.header("Content-Encoding") == "gzip" or answer.status == 201
    dropped = {"Etag", "Content-Length"} if size_depends else {"Etag"}
    headers = tuple(header for header in answer.headers if header[0] not in dropped)
    body = answer.body
    if body.startswith(b"\x1f\x8b"):
        body = gzip.decompress(body)
    elif answer.header("Content-Type") == "application/json":
        body = json.dumps({**json.loads(body), "eTag": ""}).encode()
    return replace(exchange, answers=(replace(answer, headers=headers, body=body),))


def _statuses(exchange: Exchange) -> list[int | None]:
    return [None if answer is None else answer.status for answer in exchange.answers]


def _refused(exchange: Exchange) -> bool:
    return _statuses(exchange) == [400] and not exchange.stays_open


def _with_interim(exchange: Exchange, interim: str) -> Exchange:
    (answer,) = exchange.answers
    assert answer is not None
    return replace(exchange, answers=(replace(answer, interim=(interim,)),))


def _same_but_for_bytes(theirs: Exchange, ours: Exchange) -> bool:
    return _without_bytes(theirs) == _without_bytes(ours)


def _without_bytes(exchange: Exchange) -> Exchange:
    (answer,) = exchange.answers
    assert answer is not None
    own = {"Content-Length": "(own)", "Content-Range": "(own)"}
    headers = tuple((name, own.get(name, value)) for name, value in answer.headers)
    body = answer.body if answer.status >= 300 else b""
    return replace(exchange, answers=(replace(answer, headers=headers, body=body),))


DEVIATIONS: Final[dict[str, Deviation]] = {
    "deflate": Deviation(
        "text is compressed by zlib here and by Go's own deflate there: other compressed bytes, "
        "hence another Etag and length",
        _same_but_for_deflate,
    ),
    "negative suffix": Deviation(
        "a suffix length below zero yields a 206 there that contradicts itself; here it is bad",
        lambda theirs, ours: (_statuses(theirs), _statuses(ours)) == ([206], [416]),
    ),
    "panic": Deviation(
        "the handler crashes there, which closes the connection; here it is a bad request",
        lambda theirs, ours: (_statuses(theirs), _statuses(ours)) == ([None], [400]),
    ),
    "strict": Deviation(
        "what parsers disagree about (bare line feeds, folded lines, two framings) is "
        "served there and refused here",
        lambda theirs, ours: _refused(ours) and _statuses(theirs) in ([200], [201]),
    ),
    "refusal": Deviation(
        "nobody serves it; which of the refusals it is depends on the parser",
        lambda theirs, ours: (
            _statuses(theirs) in ([307], [400], [404], [501])
            and _statuses(ours) in ([400], [404], [501])
        ),
    ),
    "words": Deviation(
        "the same status in other words or with other headers, for requests that no client sends",
        lambda theirs, ours: (
            _statuses(theirs)[0] in (_statuses(ours)[0], 505, 400)
            and theirs.stays_open == ours.stays_open
        ),
    ),
    "artwork": Deviation("the icons are our own", _same_but_for_bytes),
    "no interim": Deviation(
        "a body that is there already needs no invitation",
        lambda theirs, ours: theirs == _with_interim(ours, "HTTP/1.1 100 Continue"),
    ),
}


# --- the servers --------------------------------------------------------------------------------


@pytest.fixture(name="servers", scope="module")
def servers_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """The real server, ours, and ours without its fast path, all with the same volumes."""
    base = tmp_path_factory.mktemp("differential")
    master = master_server(base)
    limit = f"-fileSizeLimitMB={FILE_LIMIT_MIB}"
    servers = {
        name: volume_server(program, base, base / name, [master.port], limit, public(), *extra)
        for name, program, extra in (
            ("weed", weed(base), ()),
            ("fast", FASTVOL, ()),
            ("complete", FASTVOL, SLOW),
        )
    }
    with started(master, *servers.values()):
        for server in servers.values():
            server.ready()
            prepare(server)
        yield servers


def public() -> str:
    return f"-port.public={free_ports(1)[0]}"


def public_port_of(server: Server) -> int:
    (flag,) = (word for word in server.command if word.startswith("-port.public="))
    return int(flag.partition("=")[2])


def prepare(server: Server) -> None:
    """Makes the volumes, one of them read-only with an object and an empty object in it."""
    with volume_rpc(server.port) as rpc:
        allocate(rpc, ORDINARY)
        allocate(rpc, IN_COLLECTION, "pics")
        # No object may be older: the real server destroys an expired volume by their times.
        allocate(rpc, WITH_TTL, ttl="20y")
        allocate(rpc, READ_ONLY)
        assert put(server.port, f"{READ_ONLY},1{COOKIE}?{TS}", BINARY).status == 201
        assert put(server.port, f"{READ_ONLY},2{COOKIE}?{TS}", b"").status == 201
        rpc.VolumeMarkReadonly(pb.VolumeMarkReadonlyRequest(volume_id=READ_ONLY))


@pytest.fixture(name="exchanges", scope="module")
def exchanges_fixture(servers: dict[str, Server]) -> dict[str, list[Exchange]]:
    """All cases, sent to each server in their order."""
    found = {}
    for name, server in servers.items():
        admin, reader = Client(server.port), Client(public_port_of(server))
        with closing(admin), closing(reader):
            found[name] = [(reader if case.public else admin).exchange(case) for case in CASES]
    return found


# --- the tests ----------------------------------------------------------------------------------


def test_the_list_is_long_and_its_deviations_are_explained() -> None:
    assert len(CASES) >= 400
    assert {case.deviation for case in CASES} - {""} == set(DEVIATIONS)


@pytest.mark.parametrize("ours", ["fast", "complete"])
@pytest.mark.parametrize("group", GROUPS)
def test_answers_are_those_of_the_real_server(
    exchanges: dict[str, list[Exchange]], group: str, ours: str
) -> None:
    differences = []
    for case, theirs, mine in zip(CASES, exchanges["weed"], exchanges[ours], strict=True):
        if case.group != group:
            continue
        deviation = DEVIATIONS.get(case.deviation)
        same = deviation.holds(theirs, mine) if deviation else theirs == mine
        if not same:
            differences.append(f"{case.title}\n--- theirs\n{theirs}\n--- ours\n{mine}\n")
    shown = "\n".join(differences[:SHOWN_MAX])
    assert not differences, f"{len(differences)} answers differ\n{shown}"


@pytest.mark.parametrize("ours", ["fast", "complete"])
def test_status_has_the_same_shape(
    servers: dict[str, Server], exchanges: dict[str, list[Exchange]], ours: str
) -> None:
    """Members, their order and types; figures of volumes with the same content are equal."""
    theirs = json.loads(get(servers["weed"].port, "/status").body)
    mine = json.loads(get(servers[ours].port, "/status").body)
    for answer in (theirs, mine):  # the master may grow volumes of its own on either
        answer["Volumes"] = [volume for volume in answer["Volumes"] if volume["Id"] in ALLOCATED]
        assert [volume["Id"] for volume in answer["Volumes"]] == list(ALLOCATED)
    assert shape(mine) == shape(theirs)
    assert list(map(steady, mine["Volumes"])) == list(map(steady, theirs["Volumes"]))
    pretty = [get(servers[name].port, "/status?pretty=y") for name in ("weed", ours)]
    lines = [re.sub(rb": .*", b"", reply.body) for reply in pretty]
    assert lines[0] == lines[1]


def shape(value: Any) -> Any:
    """Names in their order, and types."""
    if isinstance(value, dict):
        return [(name, shape(member)) for name, member in value.items()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return "number" if isinstance(value, int | float) else type(value).__name__


def steady(volume: dict[str, Any]) -> dict[str, Any]:
    """A volume of /status without times, and without sizes that depend on the compressor."""
    unsteady = {"ModifiedAtSecond"}
    if volume["Id"] == ORDINARY:
        unsteady |= {"Size", "DeletedByteCount", "FileCount", "DeleteCount"}
    return {name: value for name, value in volume.items() if name not in unsteady}
