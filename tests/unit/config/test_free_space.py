"""The free-space grammar: a percentage up to 100, or a size with a unit."""

import pytest

from fastvol.config import MinFreeSpace, parse_min_free_space


@pytest.mark.parametrize(
    ("text", "percent"), [("1", 1), ("0", 0), ("100", 100), (" 2.5 ", 2.5), ("1e1", 10)]
)
def test_percent(text: str, percent: float) -> None:
    assert parse_min_free_space(text) == MinFreeSpace(percent=percent)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10GiB", 10 << 30),
        ("10gib", 10 << 30),
        ("10 Gi", 10 << 30),
        ("10GB", 10**10),
        ("10g", 10**10),
        ("1.5kb", 1500),
        ("101b", 101),
        ("1,000kib", 1024000),
        ("1EiB", 1 << 60),
        ("2tb", 2 * 10**12),
        ("3pi", 3 << 50),
        ("4m", 4 * 10**6),
    ],
)
def test_bytes(text: str, size: int) -> None:
    assert parse_min_free_space(text) == MinFreeSpace(bytes=size)


@pytest.mark.parametrize(
    "text",
    ["", "x", "101", "-1", "100b", "1.2.3kb", "10zb", "inf", "nan", "0x10", ".gb", "99999999999eb"],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_min_free_space(text)
