"""The advertised address and host:port texts."""

import ipaddress
import socket
from types import SimpleNamespace

import psutil
import pytest

from fastvol.cluster.server_address import join_host_port
from fastvol.config.addresses import detected_host_address


def interface(family: int, address: str) -> SimpleNamespace:
    return SimpleNamespace(family=family, address=address)


@pytest.mark.parametrize(
    ("addresses", "chosen"),
    [
        (["127.0.0.1", "192.0.2.1", "192.0.2.2"], "192.0.2.1"),
        (["2001:db8::1", "192.0.2.1"], "192.0.2.1"),
        (["127.0.0.1", "::1", "fe80::1%eth0", "2001:db8::1"], "2001:db8::1"),
        (["127.0.0.1", "::1"], "localhost"),
    ],
)
def test_detection_order(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], chosen: str
) -> None:
    found = [
        interface(socket.AF_INET6 if ":" in text else socket.AF_INET, text) for text in addresses
    ]
    down = [interface(socket.AF_INET, "192.0.2.99")]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"down": down, "eth0": found})
    states = {"down": SimpleNamespace(isup=False), "eth0": SimpleNamespace(isup=True)}
    monkeypatch.setattr(psutil, "net_if_stats", lambda: states)
    assert detected_host_address() == chosen


def test_this_machine_has_one() -> None:
    detected = detected_host_address()
    assert detected == "localhost" or ipaddress.ip_address(detected)


def test_ipv6_hosts_get_brackets() -> None:
    assert join_host_port("192.0.2.1", 80) == "192.0.2.1:80"
    assert join_host_port("::1", 80) == "[::1]:80"
    assert join_host_port("[::1]", 80) == "[::1]:80"
