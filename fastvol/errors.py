"""The one tree of errors, and the one table from an error to its HTTP, gRPC and metric form.

An error's text is what a client sees, so it is spelled where it is raised; its class says what kind
of failure it is. Planes translate with :func:`http_status`, :func:`grpc_code` and
:func:`metric_label`, and never look at texts.  Errors of the operating system become texts by
:func:`reason_of`.
"""

from dataclasses import dataclass
from typing import Final


class FastvolError(Exception):
    """Root of everything fastvol raises on purpose."""


class ConfigError(FastvolError):
    """A flag, file or environment value cannot be used; the server does not start."""


class UsageError(ConfigError):
    """The command line itself is wrong (exit status 2, usage is printed)."""


class InvalidRequestError(FastvolError):
    """The client's request is malformed."""


class NotAuthorizedError(FastvolError):
    """White list, JWT or certificate refused the caller."""


class UnsupportedError(FastvolError):
    """The operation exists upstream but is not built yet."""


class MaintenanceError(FastvolError):
    """The server is in maintenance mode and the operation changes data."""


class StorageError(FastvolError):
    """Something about volumes or needles went wrong."""


class VolumeNotFoundError(StorageError):
    """No such volume on this server."""


class VolumeExistsError(StorageError):
    """The volume id is taken."""


class VolumeReadOnlyError(StorageError):
    """The volume does not take this change; the text carries the reason."""


class VolumeNotEmptyError(StorageError):
    """A conditional delete found data."""


class VolumeClosedError(StorageError):
    """The volume was closed while an operation was on its way to it."""


class VolumeDamagedError(StorageError):
    """A volume's files cannot be loaded; they are left as they are."""


class NoSpaceError(StorageError):
    """No location has room."""


class OffsetOverflowError(StorageError):
    """The record would lie beyond what this volume's offset width can address."""


class NeedleNotFoundError(StorageError):
    """No entry for the key, or its TTL has passed."""


class NeedleDeletedError(NeedleNotFoundError):
    """The entry is a deletion."""


class CookieMismatchError(StorageError):
    """The cookie given is not the stored one."""


class NeedleCorruptedError(StorageError):
    """The record on disk fails its checksum or its own lengths."""


class SizeMismatchError(NeedleCorruptedError):
    """The record's header does not carry the size that the index names."""


class DiskIOError(StorageError):
    """The operating system refused a read or a write."""


class RemoteStorageError(DiskIOError):
    """An object store refused, did not answer, or gave other bytes than asked for."""


class MasterError(FastvolError):
    """A call to the master failed."""


class PeerError(FastvolError):
    """Another volume server did not answer, or broke its answer off."""


class ClientGoneError(FastvolError):
    """Nobody waits for the answer any more."""


class DuplicateDirectoriesError(MasterError):
    """The master keeps seeing our data directories on another server (exit status 1)."""


class PingTargetError(InvalidRequestError):
    """Ping was asked for a target that is no known master."""


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How one kind of error looks outside: HTTP status, gRPC code name, metric label."""

    http_status: int
    grpc_code: str
    metric_label: str


_FORMS: Final[dict[type[FastvolError], ErrorForm]] = {
    FastvolError: ErrorForm(500, "UNKNOWN", "internal"),
    InvalidRequestError: ErrorForm(400, "UNKNOWN", "invalidRequest"),
    PingTargetError: ErrorForm(400, "INVALID_ARGUMENT", "invalidRequest"),
    NotAuthorizedError: ErrorForm(401, "PERMISSION_DENIED", "notAuthorized"),
    ClientGoneError: ErrorForm(499, "CANCELLED", "clientGone"),
    UnsupportedError: ErrorForm(501, "UNIMPLEMENTED", "unsupported"),
    VolumeNotFoundError: ErrorForm(404, "NOT_FOUND", "errorGetNotFound"),
    VolumeNotEmptyError: ErrorForm(409, "FAILED_PRECONDITION", "volumeNotEmpty"),
    NoSpaceError: ErrorForm(500, "UNKNOWN", "noSpace"),
    NeedleNotFoundError: ErrorForm(404, "NOT_FOUND", "errorGetNotFound"),
    NeedleDeletedError: ErrorForm(404, "UNKNOWN", "errorGetNotFound"),
    CookieMismatchError: ErrorForm(404, "UNKNOWN", "errorGetNotFound"),
    NeedleCorruptedError: ErrorForm(500, "UNKNOWN", "errorCRC"),
    SizeMismatchError: ErrorForm(500, "UNKNOWN", "errorSizeMismatch"),
    DiskIOError: ErrorForm(500, "UNKNOWN", "errorGetInternal"),
}


def error_form(error: BaseException) -> ErrorForm:
    """The outside form of ``error``: that of its nearest class in the table."""
    for kind in type(error).__mro__:
        form = _FORMS.get(kind)
        if form is not None:
            return form
    return _FORMS[FastvolError]


def http_status(error: BaseException) -> int:
    """HTTP status of a failed read; writes and deletes report 500 (or 400 for bad input)."""
    return error_form(error).http_status


def grpc_code(error: BaseException) -> str:
    """Name of the gRPC status code, for example ``NOT_FOUND``."""
    return error_form(error).grpc_code


def metric_label(error: BaseException) -> str:
    """Label of ``handler_total`` under which the error is counted."""
    return error_form(error).metric_label


def go_reason_of(error: OSError) -> str:
    """What the operating system says, as Go spells it: without a path, in lower case."""
    return (error.strerror or str(error)).lower()


def reason_of(error: BaseException) -> str:
    """The text of an error for people: that of the operating system without Python's errno.

    ``/data/1.dat: Permission denied``, or only the reason where no path is known.
    """
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
