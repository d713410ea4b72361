"""Who gets to see the status page, and what stands in its place: as with the real server."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from cluster import FASTVOL, master_server, started, volume_server, weed
from daemons import free_ports
from http_calls import get, request

pytestmark = pytest.mark.interop

PAGE: Final = "/ui/index.html"
WRITE_KEY: Final = '[jwt.signing]\nkey = "write"\n'
READ_KEY: Final = '[jwt.signing.read]\nkey = "read"\n'
CASES: Final = {
    "open": ("", 200),
    "write key": (WRITE_KEY, 400),
    "both keys": (WRITE_KEY + READ_KEY, 401),
    "both keys, page allowed": (WRITE_KEY + READ_KEY + "[access]\nui = true\n", 200),
    "read key": (READ_KEY, 200),
}


@pytest.mark.parametrize("what", CASES)
def test_access(tmp_path: Path, what: str) -> None:
    toml, expected = CASES[what]
    (tmp_path / "security.toml").write_text(toml)
    master = master_server(tmp_path)
    public = free_ports(2)
    theirs = volume_server(
        weed(tmp_path), tmp_path, tmp_path / "w", [master.port], f"-port.public={public[0]}"
    )
    ours = volume_server(
        FASTVOL, tmp_path, tmp_path / "f", [master.port], f"-port.public={public[1]}"
    )
    ours.command[-1:-1] = [f"-config_dir={tmp_path}"]
    with started(master, theirs, ours):
        replies = [get(server.ready("/healthz").port, PAGE) for server in (theirs, ours)]
        assert [reply.status for reply in replies] == [expected, expected]
        if expected == 200:
            for reply in replies:
                assert reply.headers["content-type"] == "text/html; charset=utf-8"
                assert b"volume" in reply.body.lower()
            methods = [request(s.port, "POST", PAGE, b"x").status for s in (theirs, ours)]
            assert methods == [200, 200]
        else:
            assert replies[0].body == replies[1].body
        for port in public:
            assert get(port, PAGE).status == (401 if READ_KEY in toml else 400)
            assert get(port, "/favicon.ico").status == 200
