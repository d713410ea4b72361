"""The gRPC port under TLS: who gets in, and certificates replaced while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificate_kit import Authority, Pair
from rpc_fakes import WAIT_SECONDS

from fastvol.cluster.stub import Stub
from fastvol.pb import volume_server_pb2 as pb
from fastvol.rpc.gates import Gates
from fastvol.rpc.server import ControlPlane
from fastvol.rpc.service import VOLUME_SERVER, volume_server_handler
from fastvol.security.caller_names import CallerNames
from fastvol.security.grpc_tls import GrpcIdentities, GrpcTls


async def ping(_: Any) -> Any:
    return pb.PingResponse(start_time_ns=7)


def read_all(_: Any, send: Any) -> None:
    send(pb.ReadAllNeedlesResponse(needle_id=7))


def receive(requests: Any) -> Any:
    return pb.ReceiveFileResponse(bytes_written=len(list(requests)))


HANDLER = volume_server_handler(
    Gates(lambda _: True, lambda: False, "n"),
    {"Ping": ping, "ReadAllNeedles": read_all, "ReceiveFile": receive},
)


ANYBODY = CallerNames()


class Port:
    """A gRPC port with a certificate, and what calls it."""

    def __init__(self, base: Path, callers: CallerNames, **limits: str) -> None:
        self.authority = Authority(base)
        pair = self.authority.issue("volume")
        tls = GrpcTls(self.authority.path, pair.certificate, pair.key, pair.certificate, pair.key)
        self.identities = GrpcIdentities(replace(tls, callers=callers, **limits))
        self.plane = ControlPlane("127.0.0.1", 0, identities=self.identities)

    @contextmanager
    def stub(self, pair: Pair | None, root: str = "") -> Iterator[Stub]:
        root_bytes = Path(root or self.authority.path).read_bytes()
        identity = [Path(p).read_bytes() for p in (pair.key, pair.certificate)] if pair else []
        credentials = grpc.ssl_channel_credentials(root_bytes, *identity)
        options = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.secure_channel(f"127.0.0.1:{self.plane.port}", credentials, options) as channel:
            yield Stub(channel, VOLUME_SERVER)

    def call(self, pair: Pair | None) -> str:
        """The words of the refusal, empty when the call is answered."""
        with self.stub(pair) as stub:
            try:
                stub.Ping(pb.PingRequest(), timeout=WAIT_SECONDS)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE
                return str(error.details())
        return ""


@contextmanager
def served(base: Path, callers: CallerNames = ANYBODY, **limits: str) -> Iterator[Port]:
    port = Port(base, callers, **limits)
    port.plane.start()
    try:
        port.plane.serve(HANDLER)
        yield port
    finally:
        port.plane.stop(0)


def test_every_caller_needs_a_certificate_of_the_authority(tmp_path: Path) -> None:
    with served(tmp_path) as port:
        assert port.call(port.authority.issue("anyone", names=())) == ""
        assert port.call(None)
        assert port.call(Authority(tmp_path, "stranger").issue("anyone"))
        with grpc.insecure_channel(f"127.0.0.1:{port.plane.port}") as channel:
            with pytest.raises(grpc.RpcError) as caught:
                Stub(channel, VOLUME_SERVER).Ping(pb.PingRequest(), timeout=WAIT_SECONDS)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_callers_of_another_name_are_refused_whatever_they_call(tmp_path: Path) -> None:
    words = "Authenticate: invalid subject client common name: mallory"
    with served(tmp_path, CallerNames("alice,bob")) as port:
        assert port.call(port.authority.issue("bob")) == ""
        mallory = port.authority.issue("mallory")
        assert port.call(mallory) == words
        with port.stub(mallory) as stub:
            for call in (
                lambda: list(stub.ReadAllNeedles(pb.ReadAllNeedlesRequest(), timeout=WAIT_SECONDS)),
                lambda: stub.ReceiveFile(iter([pb.ReceiveFileRequest()]), timeout=WAIT_SECONDS),
            ):
                with pytest.raises(grpc.RpcError) as caught:
                    call()
                assert (caught.value.code().name, caught.value.details()) == ("UNAVAILABLE", words)


def test_calls_of_every_kind_pass_the_check(tmp_path: Path) -> None:
    with (
        served(tmp_path, CallerNames(domain="ice")) as port,
        port.stub(port.authority.issue("alice")) as stub,
    ):
        assert stub.Ping(pb.PingRequest(), timeout=WAIT_SECONDS).start_time_ns == 7
        (answer,) = stub.ReadAllNeedles(pb.ReadAllNeedlesRequest(), timeout=WAIT_SECONDS)
        assert answer.needle_id == 7
        requests = iter([pb.ReceiveFileRequest()] * 3)
        assert stub.ReceiveFile(requests, timeout=WAIT_SECONDS).bytes_written == 3


def test_new_files_are_shown_to_the_next_caller(tmp_path: Path) -> None:
    with served(tmp_path) as port:
        old, old_root = port.authority.issue("client"), tmp_path / "old"
        old_root.write_bytes(Path(port.authority.path).read_bytes())
        assert port.call(old) == ""
        port.authority = Authority(tmp_path)  # in the files of the old one
        port.authority.issue("volume")
        new = port.authority.issue("new")
        assert port.call(new), "not read yet"
        assert port.identities.refresh()
        assert port.call(new) == ""
        assert port.call(old)
        with port.stub(new, str(old_root)) as stub, pytest.raises(grpc.RpcError):
            stub.Ping(pb.PingRequest(), timeout=WAIT_SECONDS)


def test_calls_over_an_older_tls_than_is_asked_for_are_refused(tmp_path: Path) -> None:
    with served(tmp_path, min_version="TLS 1.3") as port:
        assert port.call(port.authority.issue("client")) == ""
        refusal = port.plane.submit(asked_over(port, b"TLSv1.2")).result(WAIT_SECONDS)
        assert refusal == "tls: client offered only unsupported versions"


async def asked_over(port: Port, version: bytes) -> str:
    """grpcio's client cannot be kept from TLS 1.3, so the check itself is asked."""
    from fastvol.rpc.interceptors import CallerInterceptor

    return CallerInterceptor(port.identities)._refusal({"ssl_tls_version": [version]})
