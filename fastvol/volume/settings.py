"""What holds for a volume besides its data file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastvol.errors import VolumeDamagedError
from fastvol.formats.replica_placement import ReplicaPlacement

if TYPE_CHECKING:
    from fastvol.formats.super_block import SuperBlock
    from fastvol.formats.volume_info import VolumeInfo
    from fastvol.volume.files import VolumeFiles


def as_configured(super_block: SuperBlock, info: VolumeInfo, files: VolumeFiles) -> SuperBlock:
    """With the replication of the ``.vif``: one configured later outranks that of the creation.

    Raises:
        VolumeDamagedError: it is none.
    """
    if not info.replication:
        return super_block
    try:
        placement = ReplicaPlacement.parse(info.replication)
    except ValueError as error:
        raise VolumeDamagedError(
            f"Error parse volume {files.volume_id} replication {info.replication} : {error}"
        ) from error
    return replace(super_block, replica_placement=placement)


def unavailable_reason(files: VolumeFiles) -> str | None:
    """What the marker of a volume says that a failed rollback left unusable; None without one."""
    try:
        return files.data(".unavailable").read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return str(error)
