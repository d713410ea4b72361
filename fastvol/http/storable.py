"""A parsed upload on its way into a volume, and what its client is told of it."""

import time
from dataclasses import dataclass
from typing import Final

from fastvol._cffi.crc32c import crc32c
from fastvol.formats.needle import Needle
from fastvol.formats.ttl import TTL
from fastvol.http.blocking import only_in_thread
from fastvol.http.response import Response, json_response
from fastvol.http.upload import ParsedUpload
from fastvol.limits import MIME_BYTES_MAX, NAME_BYTES_MAX
from fastvol.volume.volume import Volume

_LAST_MODIFIED_BITS: Final = 40


@dataclass(frozen=True, slots=True)
class Storable:
    """An upload that may be stored; ``volume`` is None when other servers have it."""

    upload: ParsedUpload
    needle: Needle
    volume_id: int
    volume: Volume | None

    @property
    def copies(self) -> int | None:
        """How many copies the volume shall have, as far as this server knows."""
        if self.volume is None:
            return None
        return self.volume.super_block.replica_placement.copy_count

    @property
    def stays_here(self) -> bool:
        """No other server is to have it."""
        return self.upload.is_replicate or self.copies == 1


def turn_upright(upload: ParsedUpload, *, nowait: bool) -> None:
    """Turns a JPEG as its camera was held.

    Raises:
        WouldWaitError: there is something to turn; only with ``nowait``.
    """
    from fastvol.http.orientation import turn_of, turned  # with Pillow, which few servers need

    turn = turn_of(upload.name, upload.mime, upload.data)
    if turn is not None:
        only_in_thread("turning a picture", nowait=nowait)
        upload.data = turned(upload.data, turn)


def written(storable: Storable, *, unchanged: bool) -> Response:
    """The answer once it is stored; ``unchanged``: the same bytes were there already."""
    headers = {"Content-Md5": storable.upload.content_md5, "Etag": f'"{storable.needle.etag}"'}
    if unchanged:
        return Response(204, headers)
    response = json_response(201, _result_of(storable.upload, storable.needle))
    response.headers.update(headers)
    return response


def needle_of(upload: ParsedUpload, key: int, cookie: int) -> Needle:
    """The record; it lacks a name or a type that is too long for one."""
    flags = Needle.HAS_LAST_MODIFIED
    name, mime = upload.name, upload.mime
    if len(name) <= NAME_BYTES_MAX:
        flags |= Needle.HAS_NAME
    else:
        name = b""
    if len(mime) <= MIME_BYTES_MAX:
        flags |= Needle.HAS_MIME
    else:
        mime = b""
    if upload.pairs:
        flags |= Needle.HAS_PAIRS
    if upload.is_gzipped:
        flags |= Needle.IS_COMPRESSED
    if upload.is_chunk_manifest:
        flags |= Needle.IS_CHUNK_MANIFEST
    ttl = TTL(0, 0)
    if upload.ttl:
        try:
            ttl = TTL.parse(upload.ttl)
        except ValueError:
            ttl = TTL(0, 0)
    if ttl.count:
        flags |= Needle.HAS_TTL
    modified = upload.modified_second or int(time.time())
    data = upload.data
    return Needle(
        id=key,
        cookie=cookie,
        data=data,
        flags=flags,
        name=name,
        mime=mime,
        pairs=upload.pairs,
        last_modified=modified & ((1 << _LAST_MODIFIED_BITS) - 1),
        ttl=ttl,
        checksum=crc32c(data),
    )


def _result_of(upload: ParsedUpload, needle: Needle) -> dict[str, object]:
    """The JSON of a 201; empty and zero members are left out."""
    result: dict[str, object] = {}
    if needle.name:
        result["name"] = upload.name.decode("utf-8", "surrogateescape")
    if upload.original_size:
        result["size"] = upload.original_size & 0xFFFFFFFF
    result["eTag"] = needle.etag
    if needle.mime:
        result["mime"] = upload.mime.decode("utf-8", "surrogateescape")
    if upload.content_md5:
        result["contentMd5"] = upload.content_md5
    return result
