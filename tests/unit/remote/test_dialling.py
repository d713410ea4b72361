"""A guarded client connects to checked addresses only; servers without remote storage load no client."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from fastvol.errors import InvalidRequestError, RemoteStorageError
from fastvol.remote.bucket import Bucket
from fastvol.remote.client import s3_client
from fastvol.remote.settings import S3Settings
from fastvol.security.address_guard import checked_host

SECONDS = 20
ANSWER = (
    b"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n"
    b"Content-Range: bytes 0-3/4\r\nConnection: close\r\n\r\nabcd"
)


@pytest.fixture(name="port")
def port_fixture() -> Iterator[int]:
    """Answers every request with the same object."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(SECONDS)

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(SECONDS)
                peer.recv(65536)
                peer.sendall(ANSWER)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(SECONDS)


def settings(port: int) -> S3Settings:
    return S3Settings(
        endpoint=f"http://objects.invalid:{port}", access_key="k", secret_key="s", region="r"
    )


def test_the_address_that_was_checked_is_the_one_dialled(port: int) -> None:
    """The name itself leads nowhere; only the check knows where it is."""
    asked = []

    def check(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    bucket = Bucket("b", settings(port), check_host=check)
    assert bucket.read("key", 0, 4) == b"abcd"
    assert asked == ["objects.invalid"]


def test_a_refused_address_is_not_dialled(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(host: str) -> list[str]:
        raise InvalidRequestError(f"{host} resolves to loopback address")

    for name in ("http_proxy", "HTTP_PROXY"):  # a proxy would be a way around
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    bucket = Bucket("b", settings(port), check_host=check)
    with pytest.raises(RemoteStorageError, match="loopback address"):
        bucket.read("key", 0, 4)


def test_hosts_are_checked_when_they_are_dialled() -> None:
    with pytest.raises(InvalidRequestError, match="loopback"):
        checked_host("localhost")
    with pytest.raises(InvalidRequestError, match="private"):
        checked_host("10.0.0.1")
    with pytest.raises(InvalidRequestError, match="lookup"):
        checked_host("no-such-host.invalid")
    assert checked_host("8.8.8.8") == ["8.8.8.8"]


def test_an_endpoint_without_a_region_does(port: int) -> None:
    client = s3_client(S3Settings(endpoint=f"http://127.0.0.1:{port}", anonymous=True))
    assert client.meta.region_name == "us-east-1"


def test_an_endpoint_that_is_none_is_an_error_in_words() -> None:
    with pytest.raises(RemoteStorageError, match="endpoint"):
        s3_client(S3Settings(endpoint="http://a b", region="r"))


def test_a_server_loads_no_client() -> None:
    program = (
        "import sys, fastvol.server.lifecycle, fastvol.cli.volume; "
        "assert not {'boto3', 'botocore', 'urllib3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
