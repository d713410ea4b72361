"""The ``.vif``: what holds for a volume beyond its super block, as JSON.

The text is protobuf's JSON mapping of upstream's VolumeInfo message.  Reading follows that mapping:
lowerCamelCase or snake_case names, 64-bit integers as strings or numbers, ``null`` as the default.
Two things are gentler than the mapping, because a volume must not be lost over its ``.vif``: a
file that breaks off or holds a wrong value gives all else that stands in it, with ``problem`` set,
and unknown members are kept for the next rewrite.

Source of the rules: ``weed/storage/volume_info/volume_info.go``.
"""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from fastvol.formats.durable_file import replace_file
from fastvol.formats.protojson import Fields, MessageReader, parse_members, write_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fastvol.formats.ttl import TTL

DEFAULT_VERSION: Final = 3


@dataclass(slots=True)
class RemoteFile:
    """Where a tiered ``.dat`` lies.  Sizes in bytes, ``modified_time`` in seconds."""

    backend_type: str = ""
    backend_id: str = ""
    key: str = ""
    offset: int = 0
    file_size: int = 0
    modified_time: int = 0
    extension: str = ""

    @property
    def backend_name(self) -> str:
        """``<type>.<id>``, as heartbeats and the registry of backends name it."""
        return f"{self.backend_type}.{self.backend_id}"


@dataclass(slots=True)
class EcShardConfig:
    """How a volume was erasure coded; ``encode_ts_ns`` in nanoseconds, ``block_size`` in bytes."""

    data_shards: int = 0
    parity_shards: int = 0
    encode_ts_ns: int = 0
    block_size: int = 0


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(slots=True)
class VolumeInfo:
    """The members of a ``.vif``.

    ``bytes_offset`` is the offset width of the ``.idx`` (4, 5, or 0 for unknown), ``expire_at_sec``
    in unix seconds, ``dat_file_size`` in bytes.  ``unknown`` holds the members that this server
    does not know, ``problem`` says why the file could be read only in part ("" when it was fine).
    """

    files: Sequence[RemoteFile] = ()
    version: int = DEFAULT_VERSION
    replication: str = ""
    bytes_offset: int = 0
    dat_file_size: int = 0
    expire_at_sec: int = 0
    read_only: bool = False
    ec_shard_config: EcShardConfig | None = None
    read_only_can_delete: bool = False
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    problem: str = ""


_REMOTE_FILE_FIELDS: Final[Fields] = {
    "backend_type": "string",
    "backend_id": "string",
    "key": "string",
    "offset": "uint64",
    "file_size": "uint64",
    "modified_time": "uint64",
    "extension": "string",
}
_EC_SHARD_CONFIG_FIELDS: Final[Fields] = {
    "data_shards": "uint32",
    "parity_shards": "uint32",
    "encode_ts_ns": "int64",
    "block_size": "int64",
}
_FIELDS: Final[Fields] = {
    "files": [_REMOTE_FILE_FIELDS],
    "version": "uint32",
    "replication": "string",
    "bytes_offset": "uint32",
    "dat_file_size": "int64",
    "expire_at_sec": "uint64",
    "read_only": "bool",
    "ec_shard_config": _EC_SHARD_CONFIG_FIELDS,
    "read_only_can_delete": "bool",
}
# Names of two members in files from before upstream renamed them.
_OLD_NAMES: Final = {"BytesOffset": "bytes_offset", "DestroyTime": "expire_at_sec"}
# Members that such files cannot have.
_NEWER_NAMES: Final = {
    *("bytesOffset", "bytes_offset", "expireAtSec", "expire_at_sec"),
    *("ecShardConfig", "ec_shard_config", "readOnlyCanDelete", "read_only_can_delete"),
}


def load(path: Path) -> VolumeInfo | None:
    """Reads a ``.vif``.  Never raises for what is in the file; see ``problem`` and ``unknown``.

    None when there is no file or it is empty, so that a new one is to be written
    (MaybeLoadVolumeInfo).  :exc:`OSError` when the operating system refuses.
    """
    try:
        mode = path.stat().st_mode
        if not mode & stat.S_IRUSR:
            # The owner's bit, as upstream: root could read it all the same.
            return VolumeInfo(problem=f"failed to check {path} not readable")
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    return parse(text) if text else None


def parse(text: bytes) -> VolumeInfo:
    """Reads the content of a ``.vif``, as far as it goes."""
    return replace(_parsed(text))


@lru_cache(64)
def _parsed(text: bytes) -> VolumeInfo:
    """Most volumes of a server have the same settings."""
    members, problem = parse_members(text)
    if _OLD_NAMES.keys() & members.keys():
        if _NEWER_NAMES & members.keys():
            problem = problem or "members of the old and of the new form stand side by side"
        members = {_OLD_NAMES.get(name, name): value for name, value in members.items()}
    reader = MessageReader()
    values, unknown = reader.read(members, _FIELDS)
    files = tuple(RemoteFile(**entry) for entry in values.pop("files", ()))
    shards = values.pop("ec_shard_config", None)
    info = VolumeInfo(
        files=files, unknown=unknown or _NOTHING, problem=reader.problem or problem, **values
    )
    if shards is not None:
        info.ec_shard_config = EcShardConfig(**shards)
    if info.version == 0:
        info.version = DEFAULT_VERSION
    return info


def to_text(info: VolumeInfo) -> bytes:
    """The content of a ``.vif``, laid out as upstream lays it out, unknown members last."""
    shards = info.ec_shard_config
    values: dict[str, Any] = {
        "files": [_as_dict(entry, _REMOTE_FILE_FIELDS) for entry in info.files],
        "ec_shard_config": None if shards is None else _as_dict(shards, _EC_SHARD_CONFIG_FIELDS),
    }
    for name in _FIELDS:
        values.setdefault(name, getattr(info, name, None))
    return write_message(values, _FIELDS, info.unknown).encode("utf-8", "backslashreplace")


def save(path: Path, info: VolumeInfo) -> None:
    """Replaces a ``.vif`` atomically and durably: written aside, fsynced, renamed.

    :exc:`PermissionError` when an existing file is write-protected (SaveVolumeInfo), another
    :exc:`OSError` when the operating system refuses; the old file is then still there.
    """
    if path.exists() and not path.stat().st_mode & stat.S_IWUSR:
        raise PermissionError(f"failed to check {path} not writable")
    replace_file(path, to_text(info))


def expiry_of(ttl: TTL, now: float | None = None) -> int:
    """``expire_at_sec`` of a volume with this TTL when it is saved now; 0 without one."""
    if not ttl.seconds:
        return 0
    return int(time.time() if now is None else now) + ttl.seconds


def _as_dict(message: object, fields: Fields) -> dict[str, Any]:
    return {name: getattr(message, name) for name in fields}
