"""Which addresses a caller may point this server at, in every form that one can be written."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from fastvol.errors import InvalidRequestError
from fastvol.security.address_guard import check_address, checked_endpoint, checked_target

BLOCKED = {
    "169.254.169.254": "targets instance metadata service",
    "127.0.0.1": "resolves to loopback address",
    "127.255.255.255": "resolves to loopback address",
    "::1": "resolves to loopback address",
    "0.0.0.0": "resolves to unspecified address",
    "::": "resolves to unspecified address",
    "169.254.0.1": "resolves to link-local address",
    "169.254.255.255": "resolves to link-local address",
    "fe80::1": "resolves to link-local address",
    "febf:ffff::1": "resolves to link-local address",
    "fe80::1%eth0": "resolves to link-local address",
    "224.0.0.1": "resolves to link-local address",
    "224.0.0.255": "resolves to link-local address",
    "ff02::1": "resolves to link-local address",
    "ff01::1": "resolves to interface-local address",
}
PRIVATE = {
    "10.0.0.1": "resolves to private address",
    "10.255.255.255": "resolves to private address",
    "172.16.0.1": "resolves to private address",
    "172.31.255.255": "resolves to private address",
    "192.168.1.1": "resolves to private address",
    "fc00::1": "resolves to private address",
    "fdff::1": "resolves to private address",
    "100.64.0.1": "resolves to CGNAT address",
    "100.127.255.255": "resolves to CGNAT address",
}
ALLOWED = (
    *("8.8.8.8", "11.0.0.1", "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.1"),
    *("172.15.255.255", "172.32.0.1", "192.167.1.1", "100.63.255.255", "100.128.0.1"),
    *("224.0.1.1", "239.1.1.1", "255.255.255.255", "2001:db8::1", "fec0::1", "fe7f::1", "ff05::1"),
    *("2606:4700::1111", "::2:0:0:1", "2001:1::1", "64:ff9a::7f00:1"),
)


def carried(text: str) -> list[str]:
    """The IPv6 forms of an IPv4 address."""
    number = int(ipaddress.IPv4Address(text))
    high, low = number >> 16, number & 0xFFFF
    return [
        f"::ffff:{text}",
        f"64:ff9b::{text}",
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:1234::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
        *([f"::{text}"] if number > 1 else []),
    ]


def refusal(text: str, *, allow_private: bool) -> str:
    try:
        check_address("name", ipaddress.ip_address(text), allow_private=allow_private)
    except InvalidRequestError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", BLOCKED)
def test_what_only_this_server_can_reach_is_refused(text: str) -> None:
    for allow_private in (True, False):
        assert BLOCKED[text] in refusal(text, allow_private=allow_private)
        assert refusal(text, allow_private=allow_private).startswith('remote endpoint "name" ')


@pytest.mark.parametrize("text", PRIVATE)
def test_neighbours_are_refused_unless_they_are_servers(text: str) -> None:
    assert PRIVATE[text] in refusal(text, allow_private=False)
    assert not refusal(text, allow_private=True)


@pytest.mark.parametrize("text", ALLOWED)
def test_others_are_not(text: str) -> None:
    assert not refusal(text, allow_private=False)


@pytest.mark.parametrize("text", [t for t in (*BLOCKED, *PRIVATE) if ":" not in t])
def test_an_ipv4_address_is_found_within_an_ipv6_one(text: str) -> None:
    kind = (BLOCKED | PRIVATE)[text]
    for form in carried(text):
        assert kind in refusal(form, allow_private=False), form
        assert bool(refusal(form, allow_private=True)) == (text in BLOCKED), form


@pytest.mark.parametrize("form", carried("8.8.8.8"))
def test_a_public_one_within_it_is_allowed(form: str) -> None:
    assert not refusal(form, allow_private=False)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("", "replica target is empty"),
        ("  ", "replica target is empty"),
        *((f"h{mark}x:1", "must be a bare host:port") for mark in "/?#@\\"),
        ("http://h:1", "must be a bare host:port"),
        ("h", "missing port in address"),
        ("[::1]", "missing port in address"),
        ("[::1", "missing ']' in address"),
        ("[::1]x:1", "too many colons in address"),
        ("::1:1", "too many colons in address"),
        ("h[:1", "unexpected '[' in address"),
        ("h]:1", "unexpected ']' in address"),
        (":1", "has no host"),
        ("[]:1", "has no host"),
        ("metadata:1", "targets instance metadata service"),
        ("Metadata.Google.Internal:1", "targets instance metadata service"),
        ("127.0.0.1:1", "loopback"),
        ("127.0.0.1:1.2", "loopback"),
        ("[::1]:1", "loopback"),
        ("[::ffff:7f00:1]:1", "loopback"),
        ("localhost:1", "loopback"),
        ("127.1:1", "loopback"),
        ("2130706433:1", "loopback"),
        ("0x7f.1:1", "loopback"),
        ("0:1", "unspecified"),
        ("[fe80::1%lo]:1", "link-local"),
        ("a" * 70 + ".x:1", "resolve replica target host"),
        ("a\0b:1", "resolve replica target host"),
    ],
)
def test_targets_that_are_refused(target: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        asyncio.run(checked_target(target))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "remote endpoint is empty"),
        ("h:1", "must use http or https"),
        ("ftp://8.8.8.8", 'must use http or https, got "ftp"'),
        ("http://", "has no host"),
        ("http://[::1", "parse remote endpoint"),
        ("http://h:x/", "parse remote endpoint"),
        ("HTTP://metadata/", "targets instance metadata service"),
        ("http://user@127.0.0.1/", "loopback"),
        ("https://10.1.1.1:9000/", "private"),
        ("http://[::ffff:10.1.1.1]/", "private"),
    ],
)
def test_endpoints_that_are_refused(url: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        asyncio.run(checked_endpoint(url))
    assert words in str(caught.value)


def test_what_is_allowed_is_given_as_addresses() -> None:
    assert asyncio.run(checked_target("10.1.1.1:80")) == ["10.1.1.1"]
    assert asyncio.run(checked_target("[2001:db8::1]:80.90")) == ["2001:db8::1"]
    assert asyncio.run(checked_endpoint("https://8.8.8.8/x")) == ["8.8.8.8"]


def test_every_address_of_a_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: Any, **__: Any) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("8.8.8.8", 0)), (*kind, ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(InvalidRequestError, match="loopback"):
        asyncio.run(checked_target("two.example:1"))
