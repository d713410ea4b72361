"""A needle's content to another volume server, as SeaweedFS's own clients upload it.

Source: weed/operation/upload_content.go.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Final

from fastvol.cluster.peer_http import Upload
from fastvol.errors import PeerError
from fastvol.limits import PEER_ERROR_BYTES_MAX

if TYPE_CHECKING:
    from fastvol.cluster.peer_http import PeerHttp

_ATTEMPTS: Final = 3
_PAUSE_SECONDS: Final = 0.237


async def upload_copy(
    peers: PeerHttp, url: str, fid: str, data: bytes | bytearray, token: str, *, dialled: str = ""
) -> None:
    """Stores a copy of a needle on the server at ``url``, which sends it no further.

    Args:
        url: ``host:port``.
        token: for its Authorization header; empty for none.
        dialled: an address of the same server that is connected to instead.

    Raises:
        PeerError: after some attempts.
    """
    target = f"/{fid}?type=replicate"
    named = f"{peers.scheme}://{url}{target}"
    boundary = os.urandom(30).hex()
    headers = [("Content-Type", f"multipart/form-data; boundary={boundary}")]
    if token:
        headers.append(("Authorization", f"Bearer {token}"))
    if dialled:
        headers.append(("Host", url))
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename=""\r\n'
        f"Idempotency-Key: {named}\r\n\r\n"
    )
    body = Upload(head.encode(), data, f"\r\n--{boundary}--\r\n".encode())
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            answer = await peers.request(
                "POST", dialled or url, target.encode(), headers=headers, body=body
            )
            said = await answer.read_all(PEER_ERROR_BYTES_MAX)
            if answer.status != 204:
                _check(named, said)
        except PeerError as error:
            if attempt == _ATTEMPTS:
                raise PeerError(f"upload  {len(data)} bytes to {named}: {error}") from error
            await asyncio.sleep(_PAUSE_SECONDS * attempt)
        else:
            return


def _check(url: str, said: bytes) -> None:
    """Upstream goes by the JSON alone, whatever the status."""
    try:
        answer = json.loads(said)
    except ValueError as error:
        raise PeerError(f"unmarshal {url}: {error}") from None
    reason = answer.get("error") if isinstance(answer, dict) else None
    if reason:
        raise PeerError(f"unmarshalled error {url}: {reason}")
