"""What is counted of requests, and how both halves of a server add up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fastvol._cffi.serve import Durations, ServeCounts
from fastvol.limits import METRICS_METHODS_MAX
from fastvol.observability.counts import Counts, Event, Total
from fastvol.observability.metrics_requests import TrafficCollector
from fastvol.observability.operation_stats import ReplicationStats, failure_reason
from fastvol.observability.request_stats import INVALID, RequestStats, Stage
from fastvol.observability.traffic import Traffic
from fastvol.volume.volume import WouldWaitError

NONE = Durations((0,) * 25, 0.0)


@dataclass
class FakeRequest:
    method: str = "GET"
    public: bool = False
    began: float = field(default_factory=time.perf_counter)
    status: int = 0
    body: bytes = b""
    acts: list[Callable[[], None]] = field(default_factory=list)

    def when_done(self, act: Callable[[], None]) -> None:
        self.acts.append(act)

    def done(self) -> None:
        for act in self.acts:
            act()


@dataclass
class FakeLimiter:
    limit: int = 0
    in_flight: int = 0


def fast_counts(**more: object) -> ServeCounts:
    names = "get_200 get_206 get_304 head_200 head_304 bytes_sent cold to_python post_201 post_204"
    values: dict[str, object] = dict.fromkeys([*names.split(), "bytes_received"], 0)
    values |= dict.fromkeys(["gets", "heads", "posts", "appends"], NONE)
    return ServeCounts(**(values | more))  # type: ignore[arg-type]


def samples(traffic: Traffic, replication: ReplicationStats | None = None) -> dict[str, float]:
    found = {}
    for family in TrafficCollector(traffic, replication or ReplicationStats()).collect():
        for sample in family.samples:
            labels = ",".join(sample.labels[name] for name in sorted(sample.labels))
            found[f"{sample.name.removeprefix('SeaweedFS_volumeServer_')}[{labels}]"] = sample.value
    return found


def test_a_request_is_in_flight_until_its_connection_is_through_with_it() -> None:
    stats = RequestStats()
    request = FakeRequest("POST", body=b"12345")
    stats.begin(request)
    assert stats.in_flight() == {"POST": 1} and not stats.answers()
    request.status = 201
    request.done()
    assert stats.in_flight() == {"POST": 0}
    assert stats.answers() == {("POST", 201): 1}
    assert stats.totals(fast_counts()) == (0, 1, 0, 0, 5)


def test_a_client_that_left_before_its_answer_counts_as_499() -> None:
    stats = RequestStats()
    request = FakeRequest()
    stats.begin(request)
    request.done()
    assert stats.answers() == {("GET", 499): 1}


def test_a_label_stands_for_the_method_but_not_for_what_is_in_flight() -> None:
    stats = RequestStats()
    request = FakeRequest("PATCH")
    stats.begin(request, INVALID)
    assert stats.in_flight() == {"PATCH": 1}
    request.status = 400
    request.done()
    assert stats.answers() == {(INVALID, 400): 1} and list(stats.durations()) == [INVALID]


def test_the_public_port_has_nothing_in_flight() -> None:
    stats = RequestStats()
    stats.begin(FakeRequest(public=True))
    assert stats.in_flight() == {}


def test_made_up_methods_do_not_make_series_without_end() -> None:
    stats = RequestStats()
    for number in range(10 * METRICS_METHODS_MAX):
        request = FakeRequest(f"M{number}", public=number % 2 == 0, status=200)
        stats.begin(request)
        request.done()
    assert len(stats.answers()) == METRICS_METHODS_MAX + 1
    assert stats.answers()[("OTHER", 200)] == 9 * METRICS_METHODS_MAX


def test_an_attempt_that_would_have_to_wait_is_no_passage() -> None:
    stage = Stage()
    with pytest.raises(WouldWaitError), stage():
        assert stage.in_flight == 1
        raise WouldWaitError
    assert stage.in_flight == 0 and not any(stage.durations.observed().counts)
    with pytest.raises(ValueError), stage():
        raise ValueError
    assert sum(stage.durations.observed().counts) == 1


def test_python_and_c_add_up() -> None:
    fast = fast_counts(
        get_200=5,
        post_201=2,
        gets=Durations((4, 1, *[0] * 23), 0.5),
        posts=Durations((2, *[0] * 24), 0.25),
        appends=Durations((2, *[0] * 24), 0.125),
        bytes_sent=100,
        bytes_received=20,
    )
    traffic = Traffic(lambda: fast, FakeLimiter(7, 3), FakeLimiter(), Counts())
    request = FakeRequest(status=200)
    traffic.stats.begin(request)
    request.done()
    traffic.stats.sends(11)
    traffic.counts.add(Event.GET_NOT_FOUND, Total.READ_FAILURES)
    replication = ReplicationStats()
    replication.targets(2)
    found = samples(traffic, replication)
    assert found["request_total[200,GET]"] == 6
    assert found["request_total[201,POST]"] == 2
    assert found["request_seconds_count[GET]"] == 6
    assert found["request_seconds_bucket[0.0002,GET]"] >= 5
    assert found["request_seconds_sum[writeToLocalDisk]"] == 0.125
    assert found["in_flight_requests[POST]"] == found["in_flight_requests[writeToLocalDisk]"] == 0
    assert found["handler_total[errorGetNotFound]"] == found["file_read_failures[]"] == 1
    assert found["file_write_failures[]"] == 0
    assert found["concurrent_download_limit[]"] == 7 and found["in_flight_download_size[]"] == 3
    assert found["replication_targets_bucket[1]"] == 2  # those of C have no other copy
    assert found["replication_targets_count[]"] == 3 and found["replication_targets_sum[]"] == 2
    assert traffic.snapshot() == (6, 2, 0, 111, 20)


def test_an_idle_server_has_no_series_of_requests() -> None:
    traffic = Traffic(fast_counts, FakeLimiter(), FakeLimiter(), Counts())
    found = samples(traffic)
    assert not [name for name in found if name.startswith(("request_", "in_flight_req", "handl"))]
    assert found["replication_targets_count[]"] == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('Post "http://x": dial tcp x:1: connect: connection refused', "connection_refused"),
        ("net/http: timeout awaiting response headers", "timeout"),
        ("context deadline exceeded", "timeout"),
        ("context canceled", "context_cancelled"),
        ("volume 3 is read only", "server_error"),
    ],
)
def test_a_failure_has_a_reason(text: str, reason: str) -> None:
    stats = ReplicationStats()
    stats.done("write", 0.1, f"[h:1]: {text}")
    assert failure_reason(text) == reason
    assert stats.failures.counts() == {("write", reason): 1}
    assert stats.operations.counts() == {("write", "failure"): 1}
