"""Clients of S3-compatible object stores, and their failures in words.

boto3 takes as long to import as the server to start, and most servers never see an object store: it
comes with the first client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastvol.errors import FastvolError, RemoteStorageError
from fastvol.limits import (
    REMOTE_ATTEMPTS,
    REMOTE_CONNECT_SECONDS,
    REMOTE_CONNECTIONS_MAX,
    REMOTE_READ_SECONDS,
)

if TYPE_CHECKING:
    from fastvol.remote.dialling import CheckHost
    from fastvol.remote.settings import S3Settings

_REGION: Final = "us-east-1"


def s3_client(settings: S3Settings, check_host: CheckHost | None = None) -> Any:
    """A client, to be used by any number of threads.

    Args:
        check_host: makes it connect to addresses that were checked only, and to no proxy.

    Raises:
        RemoteStorageError: the library is not installed, or a setting is none.
    """
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.client import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise RemoteStorageError(f"remote storage needs the package boto3: {error}") from error
    config = Config(
        connect_timeout=REMOTE_CONNECT_SECONDS,
        read_timeout=REMOTE_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": REMOTE_ATTEMPTS},
        max_pool_connections=REMOTE_CONNECTIONS_MAX,
        s3={"addressing_style": "path" if settings.path_style else "virtual"},
        # Other stores than AWS do not know the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent=settings.user_agent or None,
        signature_version=UNSIGNED if settings.anonymous else None,
        proxies=None if check_host is None else {},
    )
    session = boto3.session.Session(
        aws_access_key_id=settings.access_key or None,
        aws_secret_access_key=settings.secret_key or None,
        region_name=settings.region or (_REGION if settings.endpoint else None),
    )
    try:
        client = session.client("s3", endpoint_url=_url(settings.endpoint), config=config)
    except (BotoCoreError, ValueError) as error:
        raise RemoteStorageError(str(error)) from error
    if check_host is not None:
        from fastvol.remote.dialling import guard_client

        guard_client(client, check_host)
    return client


def _url(endpoint: str) -> str | None:
    """As upstream's library takes it: a host alone is spoken to by HTTPS."""
    if not endpoint or "://" in endpoint:
        return endpoint or None
    return f"https://{endpoint}"


def failures() -> tuple[type[Exception], ...]:
    """What a call of a client, or reading its answer, may raise."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return (BotoCoreError, ClientError, HTTPError, OSError)


def words(error: Exception) -> str:
    """A failure as upstream's library words it, as far as the store told."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict) or "Error" not in response:
        told = str(error) or type(error).__name__
        inner = getattr(error, "kwargs", {}).get("error")
        cause = getattr(inner, "__cause__", None)
        reason = str(cause if isinstance(cause, FastvolError) else inner or "")
        return told if not reason or reason in told else f"{told}: {reason}"
    said, about = response["Error"], response.get("ResponseMetadata", {})
    status = about.get("HTTPStatusCode", 0)
    code, message = said.get("Code", ""), said.get("Message", "")
    if code == str(status):  # an answer without a body
        code = {404: "NotFound", 403: "Forbidden", 400: "BadRequest"}.get(status, code)
    text = f"{code}: {message}\n\tstatus code: {status}, request id: {about.get('RequestId', '')}"
    return f"{text}, host id: {about.get('HostId', '')}"


def is_missing(error: Exception) -> bool:
    """Whether the store says that there is no such object."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return False
    return response.get("Error", {}).get("Code") in ("NoSuchKey", "NotFound", "404")
