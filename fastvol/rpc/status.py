"""From an error to the status of a reply: a gRPC code and a text.

Upstream hands most errors out as plain ones, which gRPC turns into UNKNOWN. Only some methods
(VolumeDelete, DeleteCollection and the vacuum family) tag what the store says, so a storage error
has its own code only where the handler asks for it with :func:`wrap`. Source:
weed/server/volume_grpc_admin.go and Go's google.golang.org/grpc/status: FromError.
"""

from typing import Final

import grpc

from fastvol.cluster.channel import code_name, error_text
from fastvol.errors import (
    FastvolError,
    NoSpaceError,
    StorageError,
    VolumeNotEmptyError,
    VolumeNotFoundError,
    grpc_code,
    reason_of,
)

_STORE_CODES: Final = {
    VolumeNotFoundError: grpc.StatusCode.NOT_FOUND,
    VolumeNotEmptyError: grpc.StatusCode.FAILED_PRECONDITION,
    NoSpaceError: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class StatusError(FastvolError):
    """An error that names its gRPC code itself."""

    def __init__(self, code: grpc.StatusCode, text: str):
        super().__init__(text)
        self.code = code


def wrap(prefix: str, error: BaseException, *, store: bool = False) -> StatusError:
    """``prefix`` before the text of ``error``, which keeps its code, as Go's ``%w`` does.

    The code is that of the gRPC status inside ``error``; with ``store`` also that of a tagged
    storage error; otherwise UNKNOWN.
    """
    if isinstance(error, StatusError):
        inner = f"rpc error: code = {code_name(error.code)} desc = {error}"
        return StatusError(error.code, prefix + inner)
    code = grpc.StatusCode.UNKNOWN
    if isinstance(error, grpc.aio.AioRpcError):
        code = error.code()
    elif store:
        code = next((c for kind, c in _STORE_CODES.items() if isinstance(error, kind)), code)
    return StatusError(code, prefix + error_text(error))


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """Code and text of the reply to a call that raised ``error``."""
    if isinstance(error, StatusError):
        return error.code, str(error)
    if isinstance(error, grpc.aio.AioRpcError):  # a peer's answer, passed on unchanged
        return error.code(), error.details() or ""
    if isinstance(error, StorageError):
        return grpc.StatusCode.UNKNOWN, str(error)
    if isinstance(error, FastvolError | OSError):
        return grpc.StatusCode[grpc_code(error)], reason_of(error)
    return grpc.StatusCode.UNKNOWN, f"internal error: {type(error).__name__}: {error}"


def is_expected(error: BaseException) -> bool:
    """Whether ``error`` is one that fastvol or a peer raised on purpose, not a bug."""
    return isinstance(error, FastvolError | OSError | grpc.RpcError)
