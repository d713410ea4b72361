"""The object stores that volumes may lie in, as the master names them.

The master sends them once, when a server starts, from ``[storage.backend.<type>.<id>]`` of its
master.toml.  Each has the name ``<type>.<id>``, and the one with id ``default`` that of its type as
well (weed/storage/backend/backend.go).
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastvol.errors import RemoteStorageError
from fastvol.limits import REMOTE_CONCURRENCY_DEFAULT, REMOTE_CONCURRENCY_MAX
from fastvol.remote.bucket import Bucket
from fastvol.remote.settings import S3Settings
from fastvol.version import UPSTREAM_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastvol.pb import master_pb2

log = logging.getLogger(__name__)

USER_AGENT: Final = f"SeaweedFS/{UPSTREAM_VERSION}"

_DEFAULT_ID: Final = "default"
_DEFAULT_CLASS: Final = "STANDARD_IA"
_FALSE: Final = frozenset(("0", "f", "F", "false", "FALSE", "False"))
"""Go's words; whatever else is no word of its at all leaves the default."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One object store; the two numbers are parts of one transfer at a time."""

    type: str
    id: str
    bucket: Bucket
    upload_concurrency: int
    download_concurrency: int


class Backends:
    """All of them by name; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, Backend] = {}

    def load(self, announced: Iterable[master_pb2.StorageBackend]) -> None:
        """Takes in what a master announced; a name that is known stays what it was."""
        for one in announced:
            name = f"{one.type}.{one.id}"
            with self._lock:
                if name in self._by_name:
                    continue
                if one.type != "s3":
                    log.warning("storage backend %s: its type is not supported", name)
                    continue
                backend = _s3_backend(one.id, one.properties)
                self._by_name[name] = backend
                if one.id == _DEFAULT_ID:
                    self._by_name[one.type] = backend
            log.info("storage backend %s: bucket %s", name, backend.bucket.name)

    def find(self, name: str) -> Backend | None:
        """The store of this name."""
        return self._by_name.get(name)

    def get(self, name: str) -> Backend:
        """The same; :exc:`RemoteStorageError` when no master announced it."""
        found = self.find(name)
        if found is None:
            raise RemoteStorageError(f"backend storage {name} not found")
        return found

    def names(self) -> str:
        """All names, as messages list them."""
        with self._lock:
            return f"[{' '.join(self._by_name)}]"


def split_name(name: str) -> tuple[str, str]:
    """Type and id of a backend's name; both empty for one with more than one dot."""
    kind, dot, identity = name.partition(".")
    if not dot:
        return kind, _DEFAULT_ID
    return ("", "") if "." in identity else (kind, identity)


def _s3_backend(identity: str, properties: Mapping[str, str]) -> Backend:
    def number(name: str) -> int:
        try:
            given = int(properties.get(name, ""))
        except ValueError:
            given = 0
        return concurrency(given)

    settings = S3Settings(
        endpoint=properties.get("endpoint", ""),
        region=properties.get("region", ""),
        access_key=properties.get("aws_access_key_id", ""),
        secret_key=properties.get("aws_secret_access_key", ""),
        path_style=properties.get("force_path_style", "") not in _FALSE,
        user_agent=USER_AGENT,
    )
    bucket = Bucket(
        properties.get("bucket", ""),
        settings,
        storage_class=properties.get("storage_class", "") or _DEFAULT_CLASS,
    )
    return Backend(
        "s3", identity, bucket, number("upload_concurrency"), number("download_concurrency")
    )


def concurrency(given: int, default: int = REMOTE_CONCURRENCY_DEFAULT) -> int:
    """Parts at a time as somebody asked for, within bounds."""
    return min(given, REMOTE_CONCURRENCY_MAX) if given > 0 else default
