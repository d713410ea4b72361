"""The server may open as many files as the system allows."""

import logging
import resource
import subprocess
import sys

import pytest

from fastvol.server import descriptors
from fastvol.server.descriptors import raise_descriptor_limit

SECONDS_MAX = 30
SCRIPT = """
import os, resource
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
from fastvol.server.descriptors import raise_descriptor_limit
assert raise_descriptor_limit() == hard
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]
"""


def test_the_soft_limit_becomes_the_hard_one() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=SECONDS_MAX)


@pytest.mark.parametrize("refusal", [ValueError("not allowed"), PermissionError("no")])
def test_where_it_may_not_be_raised_it_stays(
    refusal: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise refusal

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with caplog.at_level(logging.DEBUG, descriptors.log.name):
        assert raise_descriptor_limit() == 256
    assert caplog.messages == [
        f"the limit of open files cannot be raised to 4096: {refusal}",
        "up to 256 open files",
    ]
    assert all(record.levelno < logging.INFO for record in caplog.records)
