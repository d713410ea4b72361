"""Why a volume does not take changes: words, and since when."""

import time
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class ReadOnlyReason:
    """One cause; ``words`` for people, ``since`` as Unix time in seconds."""

    words: str
    since: float = field(default_factory=time.time)


MARKED: Final = "marked read-only by an operator"
PERSISTED: Final = "its .vif says read-only"
FILE_MODE: Final = "a file of it is not writable for its owner"
BEING_REPLACED: Final = "a copy from another server is about to replace it"
REMOTE: Final = "its data is on remote storage"
MOVING: Final = "its data is being moved to remote storage or back"
DISK_LOW: Final = "free disk space is below the minimum"
