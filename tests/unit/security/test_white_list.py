"""Who may write."""

import pytest

from fastvol.security.white_list import WhiteList


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("::ffff:192.0.2.1", True),
        ("::ffff:10.9.9.9", True),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("fe80::1%eth0", True),
        ("::1", True),
        ("host.example", True),
        ("other.example", False),
        ("", False),
    ],
)
def test_members(host: str, allowed: bool) -> None:
    listed = WhiteList(
        ["10.0.0.1/8", "192.0.2.1", "2001:db8::/32", "fe80::/10", "::1", "host.example"]
    )
    assert not listed.is_open
    assert listed.allows(host) is allowed
    assert listed.allows(host) is allowed


def test_an_empty_list_is_open() -> None:
    assert WhiteList([]).is_open
    assert WhiteList(()).allows("anything")


def test_bad_networks_are_dropped_and_do_not_open_the_list(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listed = WhiteList(["nonsense/33"])
    assert not listed.allows("10.0.0.1")
    assert "nonsense/33" in caplog.text
    assert WhiteList(["nonsense/33", "10.0.0.0/8"]).allows("10.0.0.1")


def test_items_are_exact_texts() -> None:
    assert not WhiteList([" 10.0.0.1"]).allows("10.0.0.1")
