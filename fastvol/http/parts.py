"""What the object handlers work with besides the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from fastvol.observability.request_stats import WriteStages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from fastvol.http.blocking import RunBlocking
    from fastvol.http.chunks import ChunkReader
    from fastvol.http.elsewhere import Elsewhere
    from fastvol.http.guard import AccessGuard
    from fastvol.http.replication import Replication
    from fastvol.http.throttle import Throttle
    from fastvol.observability.counts import Counts

ReadMode = Literal["local", "proxy", "redirect"]


class DeleteChunks(Protocol):
    """Deletes objects wherever they are; raises :exc:`FastvolError` for the first that cannot be."""

    def __call__(self, fids: Sequence[str], /) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class HandlerParts:
    """One set for the handlers of a data plane.

    ``read_mode`` is for volumes that are not here; ``file_bytes_max`` is the largest payload of an
    upload; ``fix_orientation`` says that JPEGs are stored upright; ``run_images`` has threads of its own:
    images wait in them for memory, and nobody else shall wait with them.
    """

    guard: AccessGuard
    run_blocking: RunBlocking
    run_images: RunBlocking
    elsewhere: Elsewhere
    chunks: ChunkReader
    replication: Replication
    delete_chunks: DeleteChunks
    downloads: Throttle
    uploads: Throttle
    counts: Counts
    read_mode: ReadMode
    file_bytes_max: int
    fix_orientation: bool = False
    run_remote: RunBlocking | None = None
    """For reads that wait for an object store; None: as ``run_blocking``."""
    stages: WriteStages = field(default_factory=WriteStages)
