"""Connections of an S3 client to addresses that were checked, and to no others.

Checking an endpoint before its client is made is not enough: a name server may answer differently
when the client connects, a bucket may be part of the host, and a store may redirect.  So the check is
made where a connection begins: the host is resolved there, every address checked, and one of them
dialled.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, TypeAlias

from fastvol.errors import FastvolError

CheckHost: TypeAlias = "Callable[[str], list[str]]"
"""The addresses of a host, all of them allowed; raises :exc:`FastvolError`, and may block."""


def guard_client(client: Any, check_host: CheckHost) -> None:
    """Has every connection of a botocore client, also after redirects, go through ``check_host``.

    There is no setting for it; an attribute that is missing one day fails here, before any request.
    """
    from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class CheckedConnection(AWSHTTPConnection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return _dial(self, check_host)

    class CheckedTlsConnection(AWSHTTPSConnection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return _dial(self, check_host)

    class Pool(HTTPConnectionPool):
        ConnectionCls = CheckedConnection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = CheckedTlsConnection

    manager = client._endpoint.http_session._manager
    assert manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}


def _dial(connection: Any, check_host: CheckHost) -> socket.socket:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    try:
        addresses = check_host(connection.host.strip("[]"))
    except FastvolError as error:
        raise NewConnectionError(connection, str(error)) from error
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            opened = socket.create_connection((address, connection.port), connection.timeout)
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"dial {address}: i/o timeout") from error
        except OSError as error:
            failure = error
            continue
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened
    raise NewConnectionError(connection, f"dial: {failure}") from failure
