"""What the object handlers answered, by method and status, and how long it took
(weed/server/volume_server_handlers.go: privateStoreHandler).

The fast paths in C count for themselves; :class:`RequestTotals` and the metrics add both up.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Protocol

from fastvol.limits import METRICS_METHODS_MAX
from fastvol.observability.activity import RequestTotals
from fastvol.observability.histogram import Histogram
from fastvol.volume.volume import WouldWaitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from fastvol._cffi.serve import ServeCounts

CLIENT_GONE: Final = 499
INVALID: Final = "INVALID"
"""Label of every method that the admin port does not know."""
_OTHER: Final = "OTHER"
_READS: Final = ("GET", "HEAD", "OPTIONS")
_WRITES: Final = ("POST", "PUT")


class CountedRequest(Protocol):
    """What is counted of a request."""

    method: str
    public: bool
    began: float
    """By ``time.perf_counter``."""
    status: int
    """Of the response; 0 as long as there is none."""
    body: bytes | bytearray

    def when_done(self, act: Callable[[], None]) -> None: ...


class RequestStats:
    """Counts on the event loop's thread; any thread may look."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int], int] = {}
        self._durations: dict[str, Histogram] = {}
        self._in_flight: dict[str, int] = {}
        self._seen: set[str] = set()
        self._bytes_sent = 0
        self._bytes_received = 0

    # --- counting -------------------------------------------------------------------------------

    def begin(self, request: CountedRequest, label: str = "") -> None:
        """The request is in flight until its connection is through with it, and counts then.

        Args:
            label: what it counts as, its method when empty.
        """
        method = self._bounded(request.method)
        if not request.public:
            self._in_flight[method] = self._in_flight.get(method, 0) + 1
        request.when_done(partial(self._end, request, method, label or method))

    def _bounded(self, method: str) -> str:
        """A client may make up any number of methods; beyond some they are one."""
        seen = self._seen
        if method not in seen:
            if len(seen) >= METRICS_METHODS_MAX:
                return _OTHER
            seen.add(method)
        return method

    def _end(self, request: CountedRequest, method: str, label: str) -> None:
        if not request.public:
            self._in_flight[method] -= 1
        answers = self._answers
        key = label, request.status or CLIENT_GONE
        answers[key] = answers.get(key, 0) + 1
        histogram = self._durations.get(label)
        if histogram is None:
            histogram = self._durations[label] = Histogram()
        histogram.observe(time.perf_counter() - request.began)
        self._bytes_received += len(request.body)

    def sends(self, length: int) -> None:
        """A body of so many bytes is about to leave."""
        self._bytes_sent += length

    # --- looking --------------------------------------------------------------------------------

    def answers(self) -> dict[tuple[str, int], int]:
        """How many by (label, status)."""
        return self._answers.copy()

    def durations(self) -> dict[str, Histogram]:
        """How long they took, by label."""
        return self._durations.copy()

    def in_flight(self) -> dict[str, int]:
        """How many are at work now, by method; the admin port's only."""
        return self._in_flight.copy()

    def totals(self, fast: ServeCounts) -> RequestTotals:
        """Everything together with what C answered."""
        answers = self.answers()

        def sum_of(*labels: str) -> int:
            return sum(count for (label, _), count in answers.items() if label in labels)

        return RequestTotals(
            reads=sum_of(*_READS) + sum(fast.gets.buckets) + sum(fast.heads.buckets),
            writes=sum_of(*_WRITES) + sum(fast.posts.buckets),
            deletes=sum_of("DELETE"),
            bytes_sent=self._bytes_sent + fast.bytes_sent,
            bytes_received=self._bytes_received + fast.bytes_received,
        )


class Stage:
    """One part of the handling of a write: how many are in it, and how long it takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self.durations = Histogram()

    @property
    def in_flight(self) -> int:
        """How many are at work now."""
        return self._in_flight

    def __call__(self) -> Passage:
        """Around the work; an attempt that would have had to wait is none."""
        return Passage(self)

    def enter(self) -> None:
        """One more."""
        with self._lock:
            self._in_flight += 1

    def leave(self) -> None:
        """One less."""
        with self._lock:
            self._in_flight -= 1


class Passage:
    """One passage through a stage."""

    __slots__ = ("_began", "_stage")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._began = 0.0

    def __enter__(self) -> None:
        self._stage.enter()
        self._began = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> Literal[False]:
        if kind is None or not issubclass(kind, WouldWaitError):
            self._stage.durations.observe(time.perf_counter() - self._began)
        self._stage.leave()
        return False


class WriteStages:
    """The stages that upstream times."""

    def __init__(self) -> None:
        self.local_disk = Stage()
        self.replicas = Stage()
