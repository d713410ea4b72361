"""Volumes for the tests of offline commands."""

from pathlib import Path

from fastvol._cffi.crc32c import crc32c
from fastvol.formats.needle import Needle
from fastvol.formats.replica_placement import ReplicaPlacement
from fastvol.formats.ttl import EMPTY
from fastvol.volume.volume import Volume


def filled(directory: Path, volume_id: int, count: int = 10, *, collection: str = "") -> None:
    """Needles 1 to ``count``, of which 3 is deleted."""
    volume = Volume.create(
        directory,
        directory,
        collection,
        volume_id,
        replica_placement=ReplicaPlacement.parse("000"),
        ttl=EMPTY,
    )
    for key in range(1, count + 1):
        data = bytes([key]) * (37 * key)
        flags = Needle.HAS_NAME | Needle.HAS_LAST_MODIFIED
        volume.write(
            Needle(
                key,
                key * 5,
                data,
                flags=flags,
                name=b"a.bin"[: key % 6],
                last_modified=1700000000,
                checksum=crc32c(data),
            )
        )
    volume.delete(3, 0, 0)
    volume.close()


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
