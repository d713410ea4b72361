"""A client that shows everything: whole answers, interim ones, and the connection's fate."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from differential_request import Case
from http_calls import HOST

ANSWER_SECONDS_MAX: Final = 10
NOW_SECONDS: Final = 300
CUT: Final = b" (cut short)"
RANGES_TYPE: Final = re.compile("multipart/byteranges; boundary=([0-9a-f]{60})")
"""Several ranges, between boundaries that a server draws."""

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
        cut = last is not None and last.body.endswith(CUT)
        if last is None or cut or last.header("Connection") == "close":
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
        drawn = RANGES_TYPE.fullmatch(dict(pairs).get("Content-Type", ""))
        if drawn:
            body = body.replace(b"--" + drawn[1].encode(), b"--(boundary)")
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
        return body if whole else body + CUT

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
        return body + CUT

    def _steady(self, name: str, value: str) -> str:
        """The value without what must differ from one answer to the next."""
        if name == "Date":
            return "(now)" if _is_now(value) else value
        if name == "Last-Modified" and _is_now(value):
            return "(now)"
        if name == "X-Amz-Request-Id" and re.fullmatch("[0-9A-F]{24}", value):
            return "(id)"
        if name == "Content-Type" and RANGES_TYPE.fullmatch(value):
            return "multipart/byteranges; boundary=(boundary)"
        return value.replace(self._names.decode(), "HOST:PORT")


def _is_now(text: str) -> bool:
    try:
        return abs(parsedate_to_datetime(text).timestamp() - time.time()) < NOW_SECONDS
    except ValueError:
        return False
