"""Certificates that are replaced on the disk while the server runs.

Source of the rules: ``weed/security/tls.go``, which hands the files to a provider that looks at
them every five hours.
"""

import asyncio
import logging
import ssl
from pathlib import Path

from fastvol.errors import ConfigError
from fastvol.security.tls import ServerTls, server_context

log = logging.getLogger(__name__)


class ServerContexts:
    """``current`` is what the next handshake uses; connections keep what they began with."""

    def __init__(self, settings: ServerTls) -> None:
        """Raises ConfigError when the files cannot be used."""
        self._settings = settings
        self._files = _contents(settings)
        self._complaint = ""
        self.current: ssl.SSLContext = server_context(settings)

    def refresh(self) -> bool:
        """Reads the files again; True when new ones are in use, else the old ones stay."""
        # Compared with what was read before it was loaded: a file that changes in between is
        # noticed the next time.
        files = _contents(self._settings)
        if files == self._files:
            return False
        try:
            self.current = server_context(self._settings)
        except ConfigError as error:
            self._complain(str(error))
            return False
        self._files = files
        self._complaint = ""
        log.info("TLS certificate of %s was read again", self._settings.certificate)
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


def _contents(settings: ServerTls) -> tuple[bytes | None, ...]:
    """What the files hold, None for those that cannot be read."""
    return tuple(_content(path) for path in settings.files)


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
