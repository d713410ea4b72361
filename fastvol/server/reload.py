"""SIGHUP: new volumes from the disks, keys and white list from security.toml."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from fastvol.config import load_security
from fastvol.errors import ConfigError, FastvolError
from fastvol.http.access import AccessRules
from fastvol.security.jwt import TokenChecker
from fastvol.security.white_list import WhiteList

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastvol.config import Config, SecuritySettings
    from fastvol.http.access import Access
    from fastvol.store.store import Store

log = logging.getLogger(__name__)


class Reload:
    """Reads again what may change while the server runs; one reload at a time, from any thread."""

    def __init__(
        self, config: Config, store: Store, access: Access, on_new_rules: Callable[[], None]
    ) -> None:
        self._source = config.security_source
        self._settings = config.settings
        self._store = store
        self._access = access
        self._on_new_rules = on_new_rules
        self._reloading = threading.Lock()

    def run(self) -> None:
        """Reloads what can be; failures are logged, and what they concern stays as it is."""
        with self._reloading:
            try:
                self._reload()
            except Exception:
                # Nobody waits for the result: without this line a bug would be silent.
                log.exception("reload failed")

    def _reload(self) -> None:
        try:
            self._store.load_new_volumes()
        except FastvolError as error:
            log.error("reload: %s", error)
        try:
            security, self._settings = load_security(self._source, self._settings)
        except ConfigError as error:
            log.error("reload: security settings stay as they are: %s", error)
            return
        self._access.rules = access_rules(security)
        self._on_new_rules()
        log.info("reloaded volumes and security settings")


def access_rules(security: SecuritySettings) -> AccessRules:
    """What the settings demand of a request."""
    return AccessRules(
        white_list=WhiteList(security.white_list),
        write_tokens=TokenChecker(security.write_key),
        read_tokens=TokenChecker(security.read_key),
    )
