"""Why a volume does not take changes: words, and since when."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReadOnlyReason:
    """One cause; ``words`` for people, ``since`` as Unix time in seconds."""

    words: str
    since: float = field(default_factory=time.time)


MARKED = "marked read-only by an operator"
PERSISTED = "its .vif says read-only"
FILE_MODE = "its data file is not writable for its owner"
DISK_LOW = "free disk space is below the minimum"
