"""Errors become the codes and texts that SeaweedFS's tools look for."""

import grpc
import pytest

from fastvol import errors
from fastvol.rpc.status import StatusError, is_expected, status_of, wrap

Code = grpc.StatusCode


def peer_error(code: grpc.StatusCode, text: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=text)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.VolumeNotFoundError("volume 7 not found"), Code.UNKNOWN),
        (errors.NeedleNotFoundError("not found"), Code.UNKNOWN),
        (errors.VolumeNotEmptyError("x"), Code.UNKNOWN),
        (errors.NoSpaceError("No more free space left"), Code.UNKNOWN),
        (errors.MaintenanceError("x"), Code.UNKNOWN),
        (errors.MasterError("x"), Code.UNKNOWN),
        (errors.InvalidRequestError("x"), Code.UNKNOWN),
        (errors.NotAuthorizedError("x"), Code.PERMISSION_DENIED),
        (errors.PingTargetError("x"), Code.INVALID_ARGUMENT),
        (errors.UnsupportedError("x"), Code.UNIMPLEMENTED),
        (StatusError(Code.NOT_FOUND, "x"), Code.NOT_FOUND),
        (peer_error(Code.UNAVAILABLE, "x"), Code.UNAVAILABLE),
        (OSError("x"), Code.UNKNOWN),
    ],
)
def test_each_error_has_its_code_and_keeps_its_text(
    error: Exception, code: grpc.StatusCode
) -> None:
    text = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
    assert status_of(error) == (code, text)
    assert is_expected(error)


def test_a_bug_is_unknown_and_names_itself() -> None:
    assert status_of(KeyError("x")) == (Code.UNKNOWN, "internal error: KeyError: 'x'")
    assert not is_expected(KeyError("x"))


def test_wrapping_keeps_the_code_of_a_peers_status() -> None:
    wrapped = wrap("read volume file status failed, ", peer_error(Code.UNAVAILABLE, "gone"))
    assert status_of(wrapped) == (
        Code.UNAVAILABLE,
        "read volume file status failed, rpc error: code = Unavailable desc = gone",
    )


def test_wrapping_a_status_again_shows_it_inside() -> None:
    inner = StatusError(Code.NOT_FOUND, "no needle")
    assert status_of(wrap("outer: ", inner)) == (
        Code.NOT_FOUND,
        "outer: rpc error: code = NotFound desc = no needle",
    )


def test_store_errors_have_their_own_codes_only_where_asked_for() -> None:
    cases = [
        (errors.VolumeNotFoundError("x"), Code.NOT_FOUND),
        (errors.VolumeNotEmptyError("x"), Code.FAILED_PRECONDITION),
        (errors.NoSpaceError("x"), Code.RESOURCE_EXHAUSTED),
        (errors.StorageError("x"), Code.UNKNOWN),
    ]
    for error, code in cases:
        assert status_of(wrap("p: ", error, store=True)) == (code, "p: x")
        assert status_of(wrap("p: ", error)) == (Code.UNKNOWN, "p: x")
