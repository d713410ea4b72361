"""Writes and deletes on the other copies of a volume (weed/topology/store_replicate.go).

Theory of operation
-------------------
Whoever gets a change from a client is its primary: it asks the master for the copies, makes the
change on its own, and then sends it to all the others at once, marked so that they send it nowhere.
Too few copies refuse the change before anything is done; a copy that fails after that fails the
request, but takes nothing back: the client may not know which copies have it, and writes it again.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote_plus

from fastvol.cluster.locations import NoEntryError
from fastvol.cluster.peer_http import Upload
from fastvol.errors import FastvolError, MasterError, PeerError
from fastvol.http import go_json
from fastvol.http.disposition import filename_parameter
from fastvol.http.go_text import to_bytes, to_text
from fastvol.http.mime_types import type_by_extension
from fastvol.http.pairs import decode_pairs
from fastvol.limits import PEER_ERROR_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from fastvol.cluster.locations import Location, VolumeLocations
    from fastvol.cluster.peer_http import PeerHttp
    from fastvol.formats.needle import Needle
    from fastvol.http.request import Request

_DELETED: Final = frozenset((200, 202, 204, 404))


class ReplicationError(FastvolError):
    """A change did not reach all copies; the text is what the client gets."""


class ReplicationObserver(Protocol):
    """Is told how the changes fare."""

    def targets(self, count: int) -> None:
        """A change is about to be made on so many other copies, maybe none."""

    def done(self, operation: str, seconds: float, failure: str) -> None:
        """``operation`` is ``write`` or ``delete``; ``failure`` why it failed, empty if it did not."""


class Unobserved:
    """Nobody wants to know."""

    def targets(self, count: int) -> None:
        """See :class:`ReplicationObserver`."""

    def done(self, operation: str, seconds: float, failure: str) -> None:
        """See :class:`ReplicationObserver`."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What a write sends to the other copies besides its needle."""

    request: Request
    name: bytes
    content_md5: str
    """As the client gave it, empty when it gave none."""
    token: str
    """The client's, wherever it stood; empty when there was none."""
    fsync: bool
    request_id: str


class Replication:
    """Sends changes on; belongs to the data plane's loop."""

    def __init__(
        self,
        own_address: str,
        locations: VolumeLocations,
        peers: PeerHttp,
        observer: ReplicationObserver | None = None,
    ) -> None:
        """``own_address`` is ``ip:port``, by which the master knows this server."""
        self._own_address = own_address
        self._locations = locations
        self._peers = peers
        self.observer = observer or Unobserved()

    # --- who has copies -------------------------------------------------------------------------

    async def write_targets(self, volume_id: int, copies: int | None) -> list[str]:
        """Addresses of the other copies that take writes.

        Args:
            copies: how many the volume shall have; None when this server has none of them.

        Raises:
            ReplicationError: there are fewer, or the master does not tell.
        """
        found = [one for one in await self._ask(volume_id) if not one.read_only]
        return self._others(volume_id, found, copies, "writable replication locations")

    async def delete_targets(self, volume_id: int, copies: int) -> list[str]:
        """As :meth:`write_targets`, of those that take deletes."""
        found = [
            one
            for one in await self._ask(volume_id)
            if not one.read_only or one.read_only_can_delete
        ]
        return self._others(volume_id, found, copies, "replication locations")

    async def _ask(self, volume_id: int) -> Sequence[Location]:
        try:
            return await self._locations.fresh(volume_id)
        except NoEntryError:
            raise ReplicationError(
                f"replicating lookup returned no result for {volume_id}"
            ) from None
        except MasterError as error:
            raise ReplicationError(f"replicating lookup failed for {volume_id}: {error}") from error

    def _others(
        self, volume_id: int, found: list[Location], copies: int | None, what: str
    ) -> list[str]:
        if copies is not None and len(found) < copies:
            self._locations.forget(volume_id)
            raise ReplicationError(
                f"{what} [{len(found)}] is less than volume {volume_id} replication copy count "
                f"[{copies}]"
            )
        return [one.url for one in found if one.url != self._own_address]

    # --- sending --------------------------------------------------------------------------------

    async def write(self, targets: list[str], needle: Needle, copy: Copy) -> None:
        """Stores the needle on the targets; :exc:`ReplicationError` of the first that fails."""
        query = _query_of(needle, fsync=copy.fsync)
        target = copy.request.target.escaped_path + b"?" + query
        boundary = os.urandom(30).hex()
        headers = _write_headers(needle, copy, boundary)

        async def send(address: str) -> None:
            url = f"{self._peers.scheme}://{address}{target.decode('latin-1')}"
            body = Upload(
                _part_head(needle, copy, boundary, url),
                needle.data,
                f"\r\n--{boundary}--\r\n".encode(),
            )
            try:
                answer = await self._peers.request(
                    "POST", address, target, headers=headers, body=body
                )
                said = await answer.read_all(PEER_ERROR_BYTES_MAX)
            except PeerError as error:
                size = len(needle.data)
                text = f"upload {to_text(copy.name)} {size} bytes to {url}: {error}"
                raise PeerError(text) from error
            if answer.status != 204:
                _check_upload_answer(url, said)

        await self._everywhere("write", targets, send)

    async def delete(self, targets: list[str], request: Request, token: str) -> None:
        """Deletes on the targets; :exc:`ReplicationError` of the first that fails."""
        target = request.target.escaped_path + b"?type=replicate"
        headers = [("Authorization", f"Bearer {token}")] if token else []

        async def send(address: str) -> None:
            answer = await self._peers.request("DELETE", address, target, headers=headers)
            body = await answer.read_all(PEER_ERROR_BYTES_MAX)
            if answer.status not in _DELETED:
                raise PeerError(_error_of(body) or to_text(body))

        await self._everywhere("delete", targets, send)

    async def _everywhere(
        self, operation: str, targets: list[str], send: Callable[[str], Awaitable[None]]
    ) -> None:
        """All at once; the first failure ends the others."""
        self.observer.targets(len(targets))
        if not targets:
            return

        async def one(address: str) -> None:
            try:
                await send(address)
            except PeerError as error:
                raise ReplicationError(f"[{address}]: {error}") from error

        began = time.monotonic()
        failure = ""
        try:
            if len(targets) == 1:
                await one(targets[0])  # most volumes have two copies, and a group costs something
            else:
                await _all_at_once(one(address) for address in targets)
        except Exception as error:
            failure = str(error) or type(error).__name__
            raise
        finally:
            self.observer.done(operation, time.monotonic() - began, failure)


async def _all_at_once(sending: Iterable[Coroutine[None, None, None]]) -> None:
    """The first failure ends the others; :exc:`ReplicationError`."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in sending:
                group.create_task(one)
    except* ReplicationError as group_error:
        first = group_error.exceptions[0]
        raise ReplicationError(str(first)) from first


# --- the forwarded request ----------------------------------------------------------------------


def _query_of(needle: Needle, *, fsync: bool) -> bytes:
    pairs = ["cm=true"] if needle.is_chunk_manifest else []
    if fsync:
        pairs.append("fsync=true")
    if needle.last_modified:
        pairs.append(f"ts={needle.last_modified}")
    pairs += [f"ttl={quote_plus(str(needle.ttl))}", "type=replicate"]
    return "&".join(pairs).encode()


def _write_headers(needle: Needle, copy: Copy, boundary: str) -> list[tuple[str, str]]:
    headers = [("Content-Type", f"multipart/form-data; boundary={boundary}")]
    if needle.pairs:
        headers += [
            (f"Seaweed-{name}", value) for name, value in decode_pairs(needle.pairs).items()
        ]
    if copy.token:
        headers.append(("Authorization", f"Bearer {copy.token}"))
    headers.append(("X-Amz-Request-Id", copy.request_id))
    return headers


def _part_head(needle: Needle, copy: Copy, boundary: str, url: str) -> bytes:
    name = to_text(copy.name)
    mime = to_text(bytes(needle.mime))
    if not mime:
        dot = name.rfind(".")
        mime = type_by_extension(name[dot:].lower()) if dot >= 0 else ""
    lines = [
        f"--{boundary}",
        f"Content-Disposition: form-data; {filename_parameter(name)}; name=file",
    ]
    if needle.is_compressed:
        lines.append("Content-Encoding: gzip")
    if copy.content_md5:
        lines.append(f"Content-Md5: {copy.content_md5}")
    if mime:
        lines.append(f"Content-Type: {mime}")
    lines.append(f"Idempotency-Key: {url}")
    return to_bytes("\r\n".join((*lines, "\r\n")))


def _check_upload_answer(url: str, body: bytes) -> None:
    """Upstream goes by the JSON alone, whatever the status (upload_content.go: upload_content)."""
    try:
        answer = go_json.loads(body)
    except ValueError:
        raise PeerError(f"unmarshal {url}: {_why_no_json(body)}") from None
    error = answer.get("error") if isinstance(answer, dict) else None
    if error:
        raise PeerError(f"unmarshalled error {url}: {error}")


def _why_no_json(body: bytes) -> str:
    text = to_text(body.strip())
    if not text or text[0] in '{["':
        return "unexpected end of JSON input"
    return f"invalid character {text[0]!r} looking for beginning of value"


def _error_of(body: bytes) -> str:
    try:
        answer = go_json.loads(body)
    except ValueError:
        return ""
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, str) else ""
