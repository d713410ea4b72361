"""Certificates replaced on the disk: the next context has them, a broken one is not taken."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest
from certificate_kit import Authority, Pair

from fastvol.errors import ConfigError
from fastvol.security.tls import ServerTls
from fastvol.security.tls_reload import ServerContexts


@pytest.fixture(name="authority")
def authority_fixture(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(name="pair")
def pair_fixture(authority: Authority) -> Pair:
    return authority.issue("server")


def contexts_of(pair: Pair, ca: str = "") -> ServerContexts:
    return ServerContexts(ServerTls(pair.certificate, pair.key, ca))


def test_broken_files_at_the_start_are_fatal() -> None:
    with pytest.raises(ConfigError, match="/nowhere"):
        ServerContexts(ServerTls("/nowhere", "/nowhere"))


def test_unchanged_files_keep_the_context(pair: Pair) -> None:
    contexts = contexts_of(pair)
    before = contexts.current
    Path(pair.certificate).touch()
    assert not contexts.refresh()
    assert contexts.current is before, "sessions can be resumed"


def test_new_files_make_a_new_context(authority: Authority, pair: Pair) -> None:
    contexts = contexts_of(pair)
    before = contexts.current
    authority.issue("server")
    assert contexts.refresh()
    assert contexts.current is not before
    assert not contexts.refresh()


def test_a_new_ca_makes_a_new_context(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    contexts = contexts_of(pair, authority.path)
    Authority(tmp_path)
    assert contexts.refresh()


def test_what_cannot_be_read_leaves_the_old_pair_and_one_line(
    authority: Authority, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    contexts = contexts_of(pair)
    before = contexts.current
    old_key = Path(pair.key).read_bytes()
    authority.issue("server")
    new_key = Path(pair.key).read_bytes()
    Path(pair.key).write_bytes(old_key)
    for _ in range(3):
        assert not contexts.refresh()
    assert contexts.current is before
    lines = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lines) == 1
    assert f"{pair.key}: not the key of" in lines[0]
    os.unlink(pair.key)
    assert not contexts.refresh()
    Path(pair.key).write_bytes(new_key)
    assert contexts.refresh(), "whole again"


def test_the_files_are_looked_at_by_the_clock(authority: Authority, pair: Pair) -> None:
    async def scenario() -> None:
        contexts = contexts_of(pair)
        before = contexts.current
        task = asyncio.create_task(contexts.keep_fresh(0.02))
        authority.issue("server")
        for _ in range(500):
            await asyncio.sleep(0.02)
            if contexts.current is not before:
                break
        assert contexts.current is not before
        task.cancel()

    asyncio.run(scenario())
