"""A needle's pairs: ``Seaweed-`` headers of its upload, kept as JSON, sent with each read."""

from typing import Final

from fastvol.http import go_json
from fastvol.http.go_text import to_text
from fastvol.http.headers import Headers, canonical_name
from fastvol.limits import PAIRS_BYTES_MAX

_PREFIX: Final = b"seaweed-"


def encode_pairs(headers: Headers) -> bytes:
    """JSON object of the pairs of an upload; empty when there are none or too many."""
    pairs: dict[str, object] = {
        to_text(canonical_name(name)[len(_PREFIX) :]): to_text(value)
        for name, value in headers.with_prefix(_PREFIX)
    }
    if not pairs:
        return b""
    encoded = go_json.dumps(go_json.sorted_map(pairs))
    return encoded if len(encoded) <= PAIRS_BYTES_MAX else b""


def decode_pairs(stored: bytes) -> dict[str, str]:
    """Response headers by canonical name.

    Raises:
        ValueError: what is wrong with them, as the rest of a sentence.
    """
    try:
        pairs = go_json.loads(stored)
    except ValueError as error:
        raise ValueError(f"do not decode: {error}") from error
    if isinstance(pairs, dict):
        return {
            canonical_name(_go_string(name).encode()).decode(): _go_string(value)
            for name, value in pairs.items()
        }
    raise ValueError("are no object")


def _go_string(value: object) -> str:
    """A JSON value as a Go string: nothing for other types."""
    return go_json.go_string(value) if isinstance(value, str) else ""
