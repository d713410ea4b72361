"""Whether a master is a build with 4-byte or 5-byte offsets.

It does not matter to the master, but one release of SeaweedFS is usually installed everywhere, so
it is the best guess at what other volume servers can read. Masters tell by the size limit that
their version string starts with. Source of the words: weed/util/version/constants.go.
"""

from __future__ import annotations

import http.client
import json
import logging
from collections.abc import Iterable

from fastvol.cluster.server_address import ServerAddress
from fastvol.errors import reason_of
from fastvol.limits import MASTER_CALL_SECONDS
from fastvol.version import SIZE_LIMIT_NAMES

log = logging.getLogger(__name__)


def offset_width_of(masters: Iterable[ServerAddress]) -> int | None:
    """The width in bytes of the first master that tells; None when none does. Blocks."""
    for master in masters:
        try:
            version = _version(master.http)
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            log.info("cannot ask %s for its version: %s", master, reason_of(error))
            continue
        for width, name in SIZE_LIMIT_NAMES.items():
            if version.startswith(name + " "):
                return width
        log.info("the version of %s tells no offset width: %s", master, version)
    return None


def _version(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=MASTER_CALL_SECONDS)
    try:
        connection.request("GET", "/dir/status")
        return str(json.loads(connection.getresponse().read()).get("Version", ""))
    finally:
        connection.close()
