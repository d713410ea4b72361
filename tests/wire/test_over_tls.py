"""What holds for plain connections holds behind TLS: their tests, with other sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastvol.http.plane import PlaneOptions
from tests.wire import (
    test_body_bounds,
    test_deadlines,
    test_endings,
    test_framing,
    test_last_words,
    test_malformed,
    test_turns,
)
from tests.wire.tls_plane import TlsPlane
from tests.wire.wire_requests import fill

_MODULES = (
    test_body_bounds,
    test_deadlines,
    test_endings,
    test_framing,
    test_last_words,
    test_malformed,
    test_turns,
)

for _module in _MODULES:
    for _name, _value in vars(_module).items():
        if _name.startswith("test_"):
            globals()[_name] = _value


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPlane]:
    with TlsPlane(tmp_path_factory.mktemp("plane")) as made:
        fill(made)
        yield made


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPlane]:
    options = PlaneOptions(idle_seconds=1.0, head_seconds=0.6, file_bytes_max=1 << 20)
    with TlsPlane(tmp_path_factory.mktemp("hasty"), options=options) as made:
        fill(made)
        yield made
