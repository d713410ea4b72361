"""When the last record of a copied volume was appended: from there whoever made it catches up.

Source of the rule: weed/server/volume_grpc_copy.go: findLastAppendAtNsFromCopiedFiles.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastvol.formats.index_entry import OFFSET_UNIT, decode_row, row_size
from fastvol.formats.needle import TIMED_VERSION, TIMESTAMP_BYTES, append_time_at
from fastvol.formats.super_block import SuperBlock
from fastvol.volume.offset_width import find_offset_width


def last_append_ns(dat_path: Path, idx_path: Path, *, stated_width: int, default_width: int) -> int:
    """Append time in nanoseconds of the record behind the last index row; 0 when it does not tell.

    After a vacuum that need not be the youngest record; an earlier time only means that more is sent
    again.

    Args:
        stated_width: of the index's offsets as the ``.vif`` says, 0 when it does not.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    with dat_path.open("rb") as dat, idx_path.open("rb") as idx:
        dat_fd, idx_fd = dat.fileno(), idx.fileno()
        if SuperBlock.read(dat_fd).version != TIMED_VERSION:
            return 0
        width, _ = find_offset_width(dat_fd, idx_fd, stated=stated_width, default=default_width)
        step = row_size(width)
        rows = os.fstat(idx_fd).st_size // step
        if not rows:
            return 0
        row = decode_row(os.pread(idx_fd, step, (rows - 1) * step), width)
        if not row.offset:
            return 0
        at = row.offset * OFFSET_UNIT + append_time_at(row.size)
        return int.from_bytes(os.pread(dat_fd, TIMESTAMP_BYTES, at))
