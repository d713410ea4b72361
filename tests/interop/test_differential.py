"""The same requests to ``weed volume`` and to fastvol: the same answers, header by header.

Compared are status line, header names, values and order, body, interim answers, and whether the
connection stays open. What differs on purpose stands in DEVIATIONS with its reason.

Not asked yet, because fastvol does not build it yet: chunk manifests, images, proxying and
redirecting reads of volumes on other servers, static files and the UI page, throttling, replicated
volumes, and answers with several ranges (whose boundary is random).
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final

import pytest
from cluster import (
    FASTVOL,
    HOST,
    Server,
    allocate,
    free_ports,
    get,
    master_server,
    put,
    started,
    volume_rpc,
    volume_server,
    weed,
)
from differential_cases import (
    BINARY,
    COOKIE,
    FILE_LIMIT_MIB,
    IN_COLLECTION,
    ORDINARY,
    READ_ONLY,
    TS,
    WITH_TTL,
    Case,
    all_cases,
)

from fastvol.pb import volume_server_pb2 as pb

pytestmark = pytest.mark.interop

CASES: Final = all_cases()
GROUPS: Final = list(dict.fromkeys(case.group for case in CASES))
ANSWER_SECONDS_MAX: Final = 10
NOW_SECONDS: Final = 300
SHOWN_MAX: Final = 8
ALLOCATED: Final = (ORDINARY, IN_COLLECTION, WITH_TTL, READ_ONLY)

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; ``None`` in place of one means that the connection was closed without any."""

    start: str
    headers: tuple[Header, ...]
    body: bytes
    interim: tuple[str, ...]

    def header(self, name: str) -> str | None:
        return next((value for given, value in self.headers if given == name), None)

    @property
    def status(self) -> int:
        return int(self.start.split()[1])

    def __str__(self) -> str:
        head = "\n".join([*self.interim, self.start, *(f"{n}: {v}" for n, v in self.headers)])
        return f"{head}\n{self.body[:300]!r} ({len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a server did with one case: its answers, and whether it then took another request."""

    answers: tuple[Answer | None, ...]
    stays_open: bool

    def __str__(self) -> str:
        texts = ["(closed without an answer)" if a is None else str(a) for a in self.answers]
        return "\n".join([*texts, "stays open" if self.stays_open else "closed"])


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


def _closed(exchange: Exchange) -> Exchange:
    (answer,) = exchange.answers
    assert answer is not None
    headers = (*answer.headers, ("Connection", "close"))
    return Exchange((replace(answer, headers=headers),), stays_open=False)


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
        "what parsers disagree about (bare line feeds, folded lines, two framings or lengths, "
        "versions that do not exist) is served there and refused here",
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
    "no interim": Deviation(
        "a body that is there already needs no invitation",
        lambda theirs, ours: theirs == _with_interim(ours, "HTTP/1.1 100 Continue"),
    ),
    "body read": Deviation(
        "a short body that does not matter is received all the same and the connection kept",
        lambda theirs, ours: theirs == _closed(ours),
    ),
}


# --- a client that shows everything -------------------------------------------------------------


class Client:
    """Sends cases and takes answers apart; never interprets more than it must."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._names = f"{HOST}:{port}".encode()
        self._socket: socket.socket | None = None
        self._pending = b""

    def exchange(self, case: Case) -> Exchange:
        if case.alone:
            self._drop()
        self._send(case.raw)
        methods = case.methods or (case.raw.split(b" ", 1)[0],)
        answers = tuple(self._answer(method) for method in methods)
        last = answers[-1]
        if last is None or last.header("Connection") == "close":
            stays_open = not self._at_end()
        else:
            stays_open = not case.alone or self._takes_another()
        if case.alone or not stays_open:
            self._drop()
        return Exchange(answers, stays_open)

    def close(self) -> None:
        self._drop()

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            self._socket = socket.create_connection((HOST, self._port), ANSWER_SECONDS_MAX)
            self._pending = b""
        with suppress(ConnectionError):  # refused before its end; the answer is there to be read
            self._socket.sendall(data)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _receive(self) -> bytes:
        assert self._socket is not None
        try:
            return self._socket.recv(1 << 18)
        except ConnectionResetError:
            return b""

    def _at_end(self) -> bool:
        return not self._pending and self._receive() == b""

    def _takes_another(self) -> bool:
        self._send(b"HEAD /healthz HTTP/1.1\r\nHost: v\r\n\r\n")
        return self._answer(b"HEAD") is not None

    def _until(self, enough: Callable[[bytes], bool]) -> bool:
        while not enough(self._pending):
            more = self._receive()
            if not more:
                return False
            self._pending += more
        return True

    def _answer(self, method: bytes) -> Answer | None:
        interim: list[str] = []
        while True:
            if not self._until(lambda data: b"\r\n\r\n" in data):
                return None
            head, _, self._pending = self._pending.partition(b"\r\n\r\n")
            start, *lines = head.decode("latin-1").split("\r\n")
            if not start.startswith("HTTP/1.1 1"):
                break
            interim.append("\n".join([start, *lines]))
        pairs = [(n, v.lstrip(" ")) for n, _, v in (line.partition(":") for line in lines)]
        body = self._body(method, int(start.split()[1]), dict(pairs))
        headers = tuple((name, self._steady(name, value)) for name, value in pairs)
        return Answer(start, headers, body.replace(self._names, b"HOST:PORT"), tuple(interim))

    def _body(self, method: bytes, status: int, headers: dict[str, str]) -> bytes:
        if method == b"HEAD" or status in (204, 304):
            return b""
        if headers.get("Transfer-Encoding") == "chunked":
            return self._chunks()
        if "Content-Length" not in headers:
            while self._until(bool) and (more := self._receive()):
                self._pending += more
            body, self._pending = self._pending, b""
            return body
        length = int(headers["Content-Length"])
        whole = self._until(lambda data: len(data) >= length)
        body, self._pending = self._pending[:length], self._pending[length:]
        return body if whole else body + b" (cut short)"

    def _chunks(self) -> bytes:
        body = b""
        while self._until(lambda data: b"\r\n" in data):
            line, _, self._pending = self._pending.partition(b"\r\n")
            size = int(line, 16)
            if not self._until(lambda data, size=size: len(data) >= size + 2):
                break
            body += self._pending[:size]
            self._pending = self._pending[size + 2 :]
            if size == 0:
                return body
        return body + b" (cut short)"

    def _steady(self, name: str, value: str) -> str:
        """The value without what must differ from one answer to the next."""
        if name == "Date":
            return "(now)" if _is_now(value) else value
        if name == "Last-Modified" and _is_now(value):
            return "(now)"
        if name == "X-Amz-Request-Id" and re.fullmatch("[0-9A-F]{24}", value):
            return "(id)"
        return value.replace(self._names.decode(), "HOST:PORT")


def _is_now(text: str) -> bool:
    try:
        return abs(parsedate_to_datetime(text).timestamp() - time.time()) < NOW_SECONDS
    except ValueError:
        return False


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
            ("complete", FASTVOL, ("-fastRead=false", "-fastWrite=false")),
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
        allocate(rpc, WITH_TTL, ttl="3d")
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
def test_same_answers(exchanges: dict[str, list[Exchange]], group: str, ours: str) -> None:
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
