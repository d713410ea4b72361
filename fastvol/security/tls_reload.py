"""Certificates that are replaced on the disk while the server runs.

Source of the rules: ``weed/security/tls.go``, which hands the files to a provider that looks at
them every five hours.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from fastvol.errors import ConfigError
from fastvol.security.tls import ServerTls, server_context

T = TypeVar("T")

log = logging.getLogger(__name__)


class Fresh(Generic[T]):
    """``current`` is made of files, and made again when what they hold has changed."""

    def __init__(self, name: str, files: tuple[str, ...], make: Callable[[], T]) -> None:
        """``name`` is what the log calls it; raises ConfigError when the files cannot be used."""
        self._name = name
        self._files = files
        self._make = make
        self._complaint = ""
        self._contents = _contents(files)
        self.current: T = make()

    def refresh(self) -> bool:
        """Reads the files again; True when new ones are in use, else the old ones stay."""
        # Compared with what was read before it was loaded: a file that changes in between is
        # noticed the next time.
        contents = _contents(self._files)
        if contents == self._contents:
            return False
        try:
            self.current = self._make()
        except ConfigError as error:
            self._complain(str(error))
            return False
        self._contents = contents
        self._complaint = ""
        log.info("TLS certificate of %s was read again", self._name)
        return True

    def _complain(self, text: str) -> None:
        """Once per reason: a short interval must not fill the log."""
        if text != self._complaint:
            self._complaint = text
            log.error("the old TLS certificate stays in use: %s", text)

    async def keep_fresh(self, seconds: float) -> None:
        """Refreshes every so many seconds until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:
                # Without further rounds the certificate would expire unnoticed.
                log.exception("reading the TLS certificate again failed")


class ServerContexts(Fresh[ssl.SSLContext]):
    """``current`` is what the next handshake uses; connections keep what they began with."""

    def __init__(self, settings: ServerTls) -> None:
        """Raises ConfigError when the files cannot be used."""
        super().__init__(settings.certificate, settings.files, lambda: server_context(settings))


def _contents(files: tuple[str, ...]) -> tuple[bytes | None, ...]:
    """What the files hold, None for those that cannot be read."""
    return tuple(_content(path) for path in files)


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
