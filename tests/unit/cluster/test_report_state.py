"""Full list or changes: what a connection was told decides what it is told next."""

from fake_node import volume_report

from fastvol.cluster.report_state import ReportState


def run_pass(state: ReportState, volumes: dict[int, int]) -> tuple[bool, list[int], list[int]]:
    """One pass over ``id -> hash``: (full, ids that are news, ids announced as deleted)."""
    full = state.begin()
    news = [vid for vid, value in volumes.items() if state.record(volume_report(vid), value)]
    return full, news, [report.id for report in state.commit()]


def supported() -> ReportState:
    state = ReportState()
    state.accept_deltas()
    return state


def test_a_master_without_digest_gets_the_full_list_every_time() -> None:
    state = ReportState()
    assert run_pass(state, {1: 10})[0]
    assert run_pass(state, {1: 10})[0]


def test_after_one_full_list_only_changes_are_told() -> None:
    state = supported()
    assert run_pass(state, {1: 10, 2: 20}) == (True, [1, 2], [])
    assert run_pass(state, {1: 10, 2: 20}) == (False, [], [])
    assert run_pass(state, {1: 11, 2: 20, 3: 30}) == (False, [1, 3], [])
    assert run_pass(state, {1: 11, 3: 30}) == (False, [], [2])
    assert run_pass(state, {1: 11, 3: 30}) == (False, [], []), "a departure is told once"


def test_departures_are_forgotten_by_a_full_list() -> None:
    state = supported()
    run_pass(state, {1: 10, 2: 20})
    state.request_full()
    assert run_pass(state, {1: 10}) == (True, [], [])
    assert run_pass(state, {1: 10}) == (False, [], [])


def test_a_request_during_a_pass_is_not_satisfied_by_that_pass() -> None:
    state = supported()
    assert state.begin()
    state.request_full()
    state.commit()
    assert state.begin()
    state.commit()
    assert not state.begin()


def test_a_pass_can_be_forced_to_be_full() -> None:
    state = supported()
    run_pass(state, {1: 10})
    assert state.begin(force_full=True)


def test_a_volume_that_stays_on_another_disk_has_not_departed() -> None:
    state = supported()
    state.begin()
    state.record(volume_report(1), 10)
    state.record(volume_report(1, disk_id=1), 11)
    state.commit()
    state.begin()
    state.record(volume_report(1, disk_id=1), 11)
    assert state.commit() == []


def test_a_departure_is_announced_as_it_was_last_told() -> None:
    state = supported()
    state.begin()
    state.record(volume_report(1, replica_placement=0), 10)
    state.commit()
    state.begin()
    state.record(volume_report(1, replica_placement=10), 11)
    state.commit()
    state.begin()
    (gone,) = state.commit()
    assert gone.replica_placement == 10
