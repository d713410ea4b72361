"""What one master connection was told about volumes, and therefore what the next beat must say.

A beat carries either the full list or only what changed since earlier beats. Changes are enough
once the master has said that it checks digests (``accept_deltas``) and has had a full list that it
did not ask to repeat (``request_full``). A request that arrives while a beat is being built is not
satisfied by that beat: it was sampled before the request.

One pass is ``begin``, then ``record`` for every reported volume (also for a full list), then
``commit``. Everything is forgotten with the connection. Source: weed/storage/
store_volume_report.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastvol.store.store import VolumeReport


@dataclass(slots=True)
class _Told:
    hash: int
    pass_number: int
    report: VolumeReport


class ReportState:
    """The memory of one connection; not thread-safe, all calls come from the heartbeat's loop."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, int], _Told] = {}
        self._full_requests = 1  # a new connection owes a full list
        self._full_satisfied = 0
        self._deltas_accepted = False
        self._pass_number = 0
        self._pass_full = True
        self._pass_requests = 0

    @property
    def deltas_accepted(self) -> bool:
        """Whether the master takes changes instead of full lists."""
        return self._deltas_accepted

    def accept_deltas(self) -> None:
        """The master checks digests, so changes are enough from now on."""
        self._deltas_accepted = True

    def request_full(self) -> None:
        """The master wants the full list with the next beat."""
        self._full_requests += 1

    def begin(self, *, force_full: bool = False) -> bool:
        """Start a pass before its volumes are sampled; True when it must carry the full list."""
        self._pass_number += 1
        self._pass_requests = self._full_requests
        owed = self._full_requests != self._full_satisfied
        self._pass_full = force_full or owed or not self._deltas_accepted
        return self._pass_full

    def record(self, report: VolumeReport, value: int) -> bool:
        """Note that ``report`` with hash ``value`` is being told; True when that is news."""
        key = (report.disk_id, report.id)
        known = self._told.get(key)
        if known is not None and known.hash == value:
            known.pass_number = self._pass_number
            return False
        self._told[key] = _Told(value, self._pass_number, report)
        return True

    def commit(self) -> list[VolumeReport]:
        """End the pass: the volumes to announce as deleted, none of them when the list was full.

        A volume id that another disk still holds is not among them: the master would take the
        announcement for the id as a whole.
        """
        if self._pass_full:
            self._full_satisfied = self._pass_requests
        gone = [key for key, told in self._told.items() if told.pass_number != self._pass_number]
        reports = [self._told.pop(key).report for key in gone]
        if self._pass_full:
            return []
        held = {volume_id for _, volume_id in self._told}
        return [report for report in reports if report.id not in held]
