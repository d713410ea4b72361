"""The name of a data directory, by which the master notices that two servers serve it.

Source of the rules: ``weed/storage/disk_location.go: GenerateDirUuid``.
"""

import uuid
from pathlib import Path
from typing import Final

from fastvol.errors import StorageError, reason_of
from fastvol.formats.durable_file import replace_file

FILE_NAME: Final = "vol_dir.uuid"


def directory_uuid(directory: Path) -> str:
    """The directory's uuid, its file's content as it is; written when missing or empty.

    :exc:`StorageError` when the file cannot be read or written.
    """
    path = directory / FILE_NAME
    try:
        found = path.read_text(errors="replace") if path.exists() else ""
        if not found:
            found = str(uuid.uuid4())
            replace_file(path, found.encode())
    except OSError as error:
        raise StorageError(f"cannot read or write {path}: {reason_of(error)}") from error
    return found
