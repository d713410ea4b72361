"""Disk types: the empty string is a hard disk."""

import pytest

from fastvol.formats import disk_type


@pytest.mark.parametrize(
    ("text", "wire", "people"),
    [("", "", "hdd"), ("HDD", "", "hdd"), ("SSD", "ssd", "ssd"), ("NVMe", "nvme", "nvme")],
)
def test_forms(text: str, wire: str, people: str) -> None:
    assert disk_type.normalize(text) == wire
    assert disk_type.readable(text) == people
