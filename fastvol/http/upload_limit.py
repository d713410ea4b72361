"""How long an upload may be, and what is said to one that is longer."""

from typing import Final

from fastvol.limits import MIB

FRAMING_BYTES_MAX: Final = 1 * MIB
"""What multipart framing may add to the largest payload."""


def too_large(payload_bytes_max: int) -> str:
    """The words of the refusal."""
    return f"file over the limited {payload_bytes_max} bytes"
