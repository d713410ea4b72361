"""Names of a volume's files: ``<vid>`` or ``<collection>_<vid>``, then an extension.

Source of the rules: ``weed/storage/volume.go: VolumeFileName`` and
``weed/storage/disk_location.go: parseCollectionVolumeId``.
"""

from typing import Final

from fastvol.formats.file_id import parse_volume_id

DAT: Final = ".dat"
IDX: Final = ".idx"
VIF: Final = ".vif"
SDX: Final = ".sdx"
LDB: Final = ".ldb"
RDB: Final = ".rdb"
CPD: Final = ".cpd"
CPX: Final = ".cpx"
CPC: Final = ".cpc"
NOTE: Final = ".note"
ECX: Final = ".ecx"
UNAVAILABLE: Final = ".unavailable"


def base_name(collection: str, volume_id: int) -> str:
    """File name without directory and extension; the default collection is ``""``."""
    return f"{collection}_{volume_id}" if collection else str(volume_id)


def parse_base_name(text: str) -> tuple[str, int]:
    """Collection and volume id; the last underscore separates, collections may contain more.

    :exc:`ValueError` when the last part is no volume id.
    """
    at = text.rfind("_")
    collection, volume_text = (text[:at], text[at + 1 :]) if at > 0 else ("", text)
    return collection, parse_volume_id(volume_text)
