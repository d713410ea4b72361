"""The checksum: known values, the PyPI library as oracle, every kernel alike."""

import crc32c as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol._cffi import crc32c as core

KERNELS = [k for k in (core.PORTABLE, core.SSE42, core.AVX512) if core.kernel_available(k)]


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (b"hello", 0x9A71BB4C),
        (b"hello seaweed", 0xE19F6EF3),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
    ],
)
def test_known_values(data: bytes, crc: int) -> None:
    assert core.crc32c(data) == crc
    for kernel in KERNELS:
        assert core.crc32c_with(kernel, data) == crc


def test_legacy_form_of_old_servers() -> None:
    assert core.legacy(0xE19F6EF3) == 0x806AAE16


@given(st.binary(max_size=2000), st.integers(0, 2**32 - 1), st.integers(0, 7))
def test_every_kernel_agrees_with_the_oracle(data: bytes, crc: int, start: int) -> None:
    view = memoryview(data)[start:]
    want = oracle.crc32c(bytes(view), crc)
    assert core.crc32c(view, crc) == want
    for kernel in KERNELS:
        assert core.crc32c_with(kernel, view, crc) == want


@pytest.mark.parametrize(
    "length", [1023, 1024, 1279, 1280, 1281, 12287, 12288, 12289, 24576, 100_003, 3_000_000]
)
def test_long_inputs_agree_with_the_oracle(length: int) -> None:
    data = bytes(i * 31 & 0xFF for i in range(251)) * (length // 251 + 1)
    data = data[:length]
    for kernel in KERNELS:
        assert core.crc32c_with(kernel, data) == oracle.crc32c(data)


@given(st.binary(max_size=500), st.binary(max_size=500))
def test_checksums_combine(a: bytes, b: bytes) -> None:
    whole = core.crc32c(a + b)
    assert core.crc32c(b, core.crc32c(a)) == whole
    assert core.combine(core.crc32c(a), core.crc32c(b), len(b)) == whole


def test_zero_runs_longer_than_memory_combine() -> None:
    one_gib = 1 << 30
    crc = core.crc32c(b"x")
    halves = core.combine(core.combine(crc, 0, one_gib), 0, one_gib)
    assert core.combine(crc, 0, 2 * one_gib) == halves


def test_a_kernel_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="not available"):
        core.crc32c_with(7, b"")
