"""Which common names may call: a list as it stands, a suffix, or everybody."""

from __future__ import annotations

import pytest

from fastvol.security.caller_names import CallerNames


@pytest.mark.parametrize(
    ("names", "accepted", "refused"),
    [
        (CallerNames(), ["", "anyone"], []),
        (CallerNames("a,b"), ["a", "b"], ["", "c", "ab", "A"]),
        (CallerNames("a, b"), ["a", " b"], ["b", ""]),
        (CallerNames("a,,b"), [""], ["c"]),
        (CallerNames(domain=".dc1"), ["x.dc1", ".dc1", ""], ["x", "dc1"]),
        (CallerNames("a", ".dc1"), ["a", "x.dc1"], ["", "x"]),
    ],
)
def test_common_names(names: CallerNames, accepted: list[str], refused: list[str]) -> None:
    assert [name for name in accepted + refused if names.accepts(name)] == accepted
