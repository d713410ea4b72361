"""What opening a volume gives, before it is a live one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastvol.index.kinds import IN_MEMORY, IndexOptions

if TYPE_CHECKING:
    from fastvol._cffi.volume import NativeVolume
    from fastvol.formats.super_block import SuperBlock
    from fastvol.formats.volume_info import VolumeInfo
    from fastvol.remote.tier import RemoteData, Tier
    from fastvol.volume.files import VolumeFiles
    from fastvol.volume.reasons import ReadOnlyReason


@dataclass(slots=True)
class OpenedVolume:
    """Everything that a live volume is made of.

    ``damage`` says why it must not be changed; ``persisted_mark`` that an operator said so earlier.
    A tiered volume has ``remote`` data, and the ``tier`` that it is opened anew with.
    """

    files: VolumeFiles
    info: VolumeInfo
    super_block: SuperBlock
    offset_width: int
    native: NativeVolume
    index: IndexOptions = IN_MEMORY
    no_write_or_delete: bool = False
    no_write_can_delete: bool = False
    unavailable: str | None = None
    persisted_mark: ReadOnlyReason | None = None
    damage: list[ReadOnlyReason] = field(default_factory=list)
    remote: RemoteData | None = None
    tier: Tier | None = None
    super_block_known: bool = True
    """False: it is made up, because the object store did not answer."""
