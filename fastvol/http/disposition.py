"""Content-Disposition: the one that reads send, and the file name that uploads carry in it."""

import re
from typing import Final

from fastvol.errors import InvalidRequestError
from fastvol.http.go_text import go_base, to_bytes
from fastvol.http.media_type import TOKEN, parse_media_type

_PRINTABLE: Final = re.compile(r"[\t\x20-\x7e]*")
_KEPT_BYTES: Final = frozenset(range(0x21, 0x7F)) - frozenset(b"*'%()<>@,;:\\\"/[]?=")


def content_disposition(filename: str, *, attachment: bool) -> str:
    """Value of the header of a read (``weed/server/common.go: adjustHeaderContentDisposition``)."""
    kind = "attachment" if attachment else "inline"
    return f"{kind}; {filename_parameter(filename)}"


def filename_parameter(filename: str) -> str:
    """``filename=a.txt``, quoted or RFC 2231 encoded as needed (``mime.FormatMediaType``)."""
    if TOKEN.fullmatch(filename):
        return f"filename={filename}"
    if _PRINTABLE.fullmatch(filename):
        escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
        return f'filename="{escaped}"'
    encoded = "".join(
        chr(byte) if byte in _KEPT_BYTES else f"%{byte:02X}" for byte in to_bytes(filename)
    )
    return f"filename*=utf-8''{encoded}"


def clean_filename(name: str) -> str:
    """Base name of what a client sent, also when it is a Windows path."""
    return go_base(name.replace("\\", "/"))


def upload_filename(disposition: str) -> str:
    """File name in the Content-Disposition of a raw upload; empty when it names none.

    Strict as upstream (``weed/storage/needle/needle_parse_upload.go: parsePut``): the text
    ``name=`` must occur, and a value that does not parse names nothing.
    """
    if "name=" not in disposition:
        return ""
    if not disposition.startswith(("inline", "attachment")):
        disposition = "attachment; " + disposition
    try:
        parameters = parse_media_type(disposition).parameters
    except InvalidRequestError:
        return ""
    name = parameters.get("filename", parameters.get("name", ""))
    return clean_filename(name) if name else ""
