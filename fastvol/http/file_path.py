"""File ids in URL paths: ``/3,01637037d6.jpg``, ``/3/01637037d6/name.jpg`` and their relatives.

Two parsers, because upstream has two: reads, deletes and JWT take the path apart by
``weed/server/common.go: parseURLPath``, uploads take everything after the last comma
(``weed/storage/needle/needle.go: CreateNeedleFromRequest``). Both see the percent-decoded path.
"""

from typing import NamedTuple

from fastvol.errors import InvalidRequestError


class UrlPath(NamedTuple):
    """The pieces of a path, not yet parsed; ``ext`` keeps its dot."""

    vid: str
    fid: str
    filename: str
    ext: str


def parse_url_path(path: str) -> UrlPath:
    """Take a decoded URL path apart.

    A path without any comma yields an empty fid; the caller's id parsers then refuse it with the
    text upstream gives.

    Raises:
        InvalidRequestError: shapes on which upstream indexes out of bounds and drops the
            connection: no slash, four or more slashes with a comma in the last segment, a dot
            before the comma.
    """
    slashes = path.count("/")
    if slashes == 3 and path[0] == "/":
        vid, fid, filename = path[1:].split("/")
        dot = filename.rfind(".")
        return UrlPath(vid, fid, filename, filename[dot:] if dot >= 0 else "")
    if slashes == 2 and path[0] == "/":
        vid, fid = path[1:].split("/")
        dot = fid.rfind(".")
        return UrlPath(vid, fid[:dot], "", fid[dot:]) if dot > 0 else UrlPath(vid, fid, "", "")
    if slashes == 0:
        raise InvalidRequestError(f"invalid path: {path}")

    segment = path[path.rfind("/") + 1 :]
    vid, comma, fid = segment.rpartition(",")
    if not comma:
        return UrlPath(segment, "", "", "")
    if slashes != 1 or path[0] != "/":
        raise InvalidRequestError(f"invalid path: {path}")
    dot = fid.rfind(".")
    if dot >= 0:
        return UrlPath(vid, fid[:dot], "", fid[dot:])
    if "." in vid:
        raise InvalidRequestError(f"invalid path: {path}")
    return UrlPath(vid, fid, "", "")


def write_fid(path: str) -> str:
    """The file id text of an upload: after the last comma, up to the path's last dot if later.

    Without a comma this is the whole path, which no id parser accepts: only the comma form can be
    written.
    """
    fid = path[path.rfind(",") + 1 :]
    dot = fid.rfind(".")
    return fid[:dot] if dot >= 0 else fid
