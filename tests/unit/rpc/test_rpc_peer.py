"""The white list sees the peer's IP as Go prints it."""

import pytest

from fastvol.rpc.peer import peer_ip


@pytest.mark.parametrize(
    ("peer", "ip"),
    [
        ("ipv4:10.1.2.3:5000", "10.1.2.3"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:[2001:db8::7]:5000", "2001:db8::7"),
        ("ipv6:%5B::ffff:10.1.2.3%5D:5000", "10.1.2.3"),
        ("ipv6:%5Bfe80::1%25eth0%5D:5000", "fe80::1%eth0"),
        ("unix:/tmp/socket", ""),
        ("unix:", ""),
        ("ipv4:nonsense:1", ""),
        ("", ""),
    ],
)
def test_peers(peer: str, ip: str) -> None:
    assert peer_ip(peer) == ip
