"""The modifiers that a path may name."""

from typing import Final

BUILT: Final = frozenset({b"this", b"ugly", b"reverse", b"keys", b"values", b"flatten", b"tostr"})
NOT_BUILT: Final = frozenset({b"pretty", b"valid", b"join", b"fromstr", b"group", b"dig"})


def is_modifier(name: bytes) -> bool:
    """Whether ``@name`` changes a result; otherwise it is a key that begins with an at sign."""
    return name in BUILT or name in NOT_BUILT
