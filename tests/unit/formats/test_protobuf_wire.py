"""Messages put together and read by hand are those of protobuf's own library."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from fastvol.formats.protobuf_wire import (
    bytes_field,
    bytes_head,
    number_field,
    read_fields,
    signed,
    varint,
)
from fastvol.pb import volume_server_pb2 as pb

UINT64 = st.integers(0, 2**64 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(UINT64, st.integers(0, 2**32 - 1), st.binary(max_size=300))
@example(0, 0, b"")
@example(2**64 - 1, 2**32 - 1, b"x" * 128)
def test_what_is_written_is_what_protobuf_writes(wide: int, narrow: int, content: bytes) -> None:
    ours = number_field(1, narrow) + number_field(2, wide) + bytes_field(5, content)
    theirs = pb.ReadAllNeedlesResponse(volume_id=narrow, needle_id=wide, needle_blob=content)
    assert ours == theirs.SerializeToString(deterministic=True)
    whole = bytes_head(5, len(content)) + content
    assert pb.ReadAllNeedlesResponse.FromString(whole).needle_blob == content


@given(st.binary(max_size=300), INT64)
def test_what_protobuf_writes_is_read(content: bytes, number: int) -> None:
    sent = pb.CopyFileResponse(file_content=content, modified_ts_ns=number).SerializeToString()
    found = dict(read_fields(sent))
    assert bytes(found.get(1, b"")) == content  # type: ignore[arg-type]
    value = found.get(2, 0)
    assert isinstance(value, int)
    assert signed(value) == number


@given(
    st.one_of(
        st.binary(max_size=40), st.lists(UINT64, max_size=4).map(lambda n: b"".join(map(varint, n)))
    )
)
def test_any_bytes_are_read_as_protobuf_reads_them(raw: bytes) -> None:
    """Groups, which nobody sends, are refused here."""
    try:
        theirs = pb.CopyFileResponse.FromString(raw)
    except DecodeError:
        theirs = None
    try:
        fields = list(read_fields(raw))
    except ValueError:
        if theirs is not None:
            assert any(byte & 7 in (3, 4) for byte in raw)
        return
    if theirs is None:
        return
    numbers = [value for field, value in fields if field == 2 and isinstance(value, int)]
    assert theirs.modified_ts_ns == (signed(numbers[-1]) if numbers else 0)
    contents = [bytes(v) for f, v in fields if f == 1 and isinstance(v, memoryview)]
    assert theirs.file_content in (*contents, b"")


@pytest.mark.parametrize(
    "raw",
    [b"\x08", b"\x0a\x05abc", b"\x80" * 11, b"\x0d\x01", b"\x09\x01", b"\x0b", b"\x00\x01"],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"leaves|does not end|no number"):
        list(read_fields(raw))
