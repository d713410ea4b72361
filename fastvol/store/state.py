"""The server's own state, ``state.pb``: maintenance mode and the version of that setting.

The file is protobuf's VolumeServerState: ``maintenance`` is field 1, ``version`` field 2, both
varints, both left out when zero.  Source of the rules: ``weed/storage/store_state.go``.
"""

import threading
from pathlib import Path
from typing import Final

from fastvol.errors import StorageError, reason_of
from fastvol.formats.durable_file import replace_file

FILE_NAME: Final = "state.pb"
_MAINTENANCE_FIELD: Final = 1
_VERSION_FIELD: Final = 2
_UINT32: Final = 2**32


class StoreState:
    """Maintenance mode.  Any thread may read and update; an update is durable when it returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._maintenance = False
        self._version = 0

    @property
    def maintenance(self) -> bool:
        """Whether operations that change data are refused."""
        return self._maintenance

    @property
    def version(self) -> int:
        """How often the state was changed."""
        return self._version

    def load(self) -> None:
        """Reads the file; a missing one is the zero state.  :exc:`StorageError` otherwise."""
        try:
            stored = self._path.read_bytes()
        except FileNotFoundError:
            stored = b""
        except OSError as error:
            raise StorageError(f"failed to read store state from {reason_of(error)}") from error
        try:
            maintenance, version = decode_state(stored)
        except ValueError as error:
            raise StorageError(f"failed to parse store state from {self._path}: {error}") from error
        with self._lock:
            self._maintenance, self._version = maintenance, version

    def update(self, maintenance: bool, version: int) -> None:
        """Changes the mode if ``version`` is the current one, which then counts up.

        :exc:`StorageError` when it is not, or when the change cannot be saved; nothing is changed
        then.
        """
        with self._lock:
            if version != self._version:
                raise StorageError(
                    f"version mismatch for VolumeServerState (got {self._version}, want {version})"
                )
            following = (version + 1) % _UINT32
            try:
                replace_file(self._path, encode_state(maintenance, following))
            except OSError as error:
                raise StorageError(
                    f"failed to save store state to {self._path}: {reason_of(error)}"
                ) from error
            self._maintenance, self._version = maintenance, following


def encode_state(maintenance: bool, version: int) -> bytes:
    """The content of ``state.pb``."""
    fields = ((_MAINTENANCE_FIELD, int(maintenance)), (_VERSION_FIELD, version))
    return b"".join(_varint(field << 3) + _varint(value) for field, value in fields if value)


def decode_state(stored: bytes) -> tuple[bool, int]:
    """Maintenance and version; unknown fields are passed over, as protobuf does.

    :exc:`ValueError` when the bytes are no message.
    """
    values = {_MAINTENANCE_FIELD: 0, _VERSION_FIELD: 0}
    at = 0
    while at < len(stored):
        tag, at = _read_varint(stored, at)
        field, wire_type = tag >> 3, tag & 7
        if field == 0:
            raise ValueError("field number 0")
        if wire_type == 0:
            value, at = _read_varint(stored, at)
            if field in values:
                values[field] = value
            continue
        at = _skip(stored, at, wire_type)
    return bool(values[_MAINTENANCE_FIELD]), values[_VERSION_FIELD] % _UINT32


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(stored: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(stored):
            raise ValueError("a number ends early")
        byte = stored[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value % 2**64, at
    raise ValueError("a number is too long")


def _skip(stored: bytes, at: int, wire_type: int) -> int:
    if wire_type == 2:
        length, at = _read_varint(stored, at)
        at += length
    elif wire_type in (1, 5):
        at += 8 if wire_type == 1 else 4
    else:
        raise ValueError(f"wire type {wire_type}")
    if at > len(stored):
        raise ValueError("a field ends early")
    return at
