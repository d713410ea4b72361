"""The .vif: what weed writes, what upstream accepts, what must not lose a volume."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvol.formats import volume_info
from fastvol.formats.ttl import EMPTY, TTL
from fastvol.formats.volume_info import EcShardConfig, RemoteFile, VolumeInfo

FROM_WEED = b"""{
  "files":  [],
  "version":  3,
  "replication":  "",
  "bytesOffset":  5,
  "datFileSize":  "0",
  "expireAtSec":  "0",
  "readOnly":  false,
  "ecShardConfig":  null,
  "readOnlyCanDelete":  false
}"""


def test_writes_what_weed_writes() -> None:
    assert volume_info.to_text(VolumeInfo(bytes_offset=5)) == FROM_WEED
    assert volume_info.parse(FROM_WEED) == VolumeInfo(bytes_offset=5)


def test_nested_messages_are_laid_out_alike() -> None:
    info = VolumeInfo(
        files=(RemoteFile("s3", "default", "k/é", 0, 104, 1700000000, ".dat"),),
        ec_shard_config=EcShardConfig(10, 4, 5, 1024),
    )
    text = volume_info.to_text(info).decode()
    assert '  "files":  [\n    {\n      "backendType":  "s3",\n' in text
    assert '      "fileSize":  "104",\n' in text
    assert '      "extension":  ".dat"\n    }\n  ],\n' in text
    assert '  "ecShardConfig":  {\n    "dataShards":  10,\n' in text
    assert '    "blockSize":  "1024"\n  },\n' in text
    assert info.files[0].backend_name == "s3.default"


@pytest.mark.parametrize(
    ("text", "info"),
    [
        ("{}", VolumeInfo()),
        ('{"version":0}', VolumeInfo(version=3)),
        ('{"dat_file_size":7,"read_only":true}', VolumeInfo(dat_file_size=7, read_only=True)),
        ('{"datFileSize":"7","version":"2"}', VolumeInfo(dat_file_size=7, version=2)),
        ('{"version":2.0,"expireAtSec":1e3}', VolumeInfo(version=2, expire_at_sec=1000)),
        ('{"replication":null,"files":null,"ecShardConfig":null}', VolumeInfo()),
        ('{"BytesOffset":4,"DestroyTime":"9"}', VolumeInfo(bytes_offset=4, expire_at_sec=9)),
        ('{"ecShardConfig":{}}', VolumeInfo(ec_shard_config=EcShardConfig())),
        (' \n{ "files" : [ {"backend_id" : "x"} ] }\n', VolumeInfo((RemoteFile("", "x"),))),
        ('{"expireAtSec":"18446744073709551615"}', VolumeInfo(expire_at_sec=2**64 - 1)),
    ],
)
def test_forms_that_upstream_accepts(text: str, info: VolumeInfo) -> None:
    assert volume_info.parse(text.encode()) == info


@pytest.mark.parametrize(
    ("text", "read", "problem"),
    [
        ('{"version":2,"readOnly":tr', VolumeInfo(version=2), "syntax error"),
        ('{"version":2} x', VolumeInfo(version=2), "unexpected text"),
        ('{"version":2', VolumeInfo(version=2), "expected ','"),
        ("not json", VolumeInfo(), "expected '{'"),
        ("[]", VolumeInfo(), "expected '{'"),
        ('{"version":2,"replication":"\xff"}', VolumeInfo(version=2), "syntax error"),
        ('{"version":-1,"readOnly":true}', VolumeInfo(read_only=True), 'member "version"'),
        ('{"version":1.5,"readOnly":true}', VolumeInfo(read_only=True), "out of range"),
        ('{"version":NaN,"readOnly":true}', VolumeInfo(), "NaN is no JSON"),
        ('{"version":true}', VolumeInfo(), "is no uint32"),
        ('{"version":"x"}', VolumeInfo(), "is no uint32"),
        ('{"readOnly":"true","version":2}', VolumeInfo(version=2), "is no bool"),
        ('{"replication":1.5,"version":2}', VolumeInfo(version=2), "is no string"),
        ('{"files":{},"version":2}', VolumeInfo(version=2), "is no array"),
        ('{"files":[3],"version":2}', VolumeInfo(version=2), "is no object"),
        ('{"version":1,"version":2}', VolumeInfo(version=1), "duplicate"),
        ('{"readOnly":true,"read_only":false}', VolumeInfo(read_only=True), "duplicate"),
        ('{"files":[{"key":"k","new":1}]}', VolumeInfo((RemoteFile(key="k"),)), 'member "new"'),
        (
            '{"BytesOffset":4,"ecShardConfig":{"dataShards":3}}',
            VolumeInfo(bytes_offset=4, ec_shard_config=EcShardConfig(3)),
            "side by side",
        ),
    ],
)
def test_a_broken_file_gives_what_can_be_read(text: str, read: VolumeInfo, problem: str) -> None:
    info = volume_info.parse(text.encode("latin-1"))
    assert problem in info.problem
    info.problem = ""
    assert info == read


def test_unknown_members_are_kept_for_the_next_rewrite() -> None:
    info = volume_info.parse(b'{"version":3,"bogus":{"a":[1,2.5,null]}}')
    assert info.unknown == {"bogus": {"a": [1, 2.5, None]}}
    assert info.problem == ""
    again = json.loads(volume_info.to_text(info))
    assert again["bogus"] == {"a": [1, 2.5, None]}
    assert list(again)[-1] == "bogus"


TEXTS = st.text(max_size=20)
UINT64 = st.integers(0, 2**64 - 1)
INFOS = st.builds(
    VolumeInfo,
    files=st.lists(
        st.builds(RemoteFile, TEXTS, TEXTS, TEXTS, UINT64, UINT64, UINT64, TEXTS), max_size=2
    ).map(tuple),
    version=st.integers(1, 2**32 - 1),
    replication=TEXTS,
    bytes_offset=st.sampled_from([0, 4, 5]),
    dat_file_size=st.integers(-(2**63), 2**63 - 1),
    expire_at_sec=UINT64,
    read_only=st.booleans(),
    ec_shard_config=st.none() | st.builds(EcShardConfig, st.integers(0, 32), st.integers(0, 32)),
    read_only_can_delete=st.booleans(),
    unknown=st.dictionaries(st.text("xyz", min_size=1), st.integers() | TEXTS, max_size=2),
)


@given(INFOS)
def test_round_trip(info: VolumeInfo) -> None:
    text = volume_info.to_text(info)
    assert volume_info.parse(text) == info
    json.loads(text)


@given(st.binary(max_size=80) | st.text('{}[]":,\\ntrue0123 "version"files', max_size=60))
def test_no_file_content_raises(content: bytes | str) -> None:
    text = content if isinstance(content, bytes) else content.encode()
    volume_info.parse(text)


def test_load_outcomes(tmp_path: Path) -> None:
    path = tmp_path / "1.vif"
    assert volume_info.load(path) is None
    path.touch()
    assert volume_info.load(path) is None
    path.write_bytes(FROM_WEED)
    assert volume_info.load(path) == VolumeInfo(bytes_offset=5)
    path.chmod(0o244)
    unreadable = volume_info.load(path)
    assert unreadable is not None and "not readable" in unreadable.problem
    with pytest.raises(IsADirectoryError):
        volume_info.load(tmp_path)


def test_save_replaces_the_file_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "1.vif"
    volume_info.save(path, VolumeInfo(bytes_offset=5))
    assert path.read_bytes() == FROM_WEED
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    first = path.stat().st_ino
    volume_info.save(path, VolumeInfo(read_only=True))
    assert path.stat().st_ino != first
    assert volume_info.load(path) == VolumeInfo(read_only=True)
    assert os.listdir(tmp_path) == ["1.vif"]


def test_expiry_counts_from_the_moment_of_saving() -> None:
    assert volume_info.expiry_of(TTL.parse("3m"), now=1000.9) == 1180
    assert volume_info.expiry_of(EMPTY, now=1000) == 0


def test_save_respects_a_write_protected_file(tmp_path: Path) -> None:
    path = tmp_path / "1.vif"
    path.write_bytes(FROM_WEED)
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"failed to check .*1\.vif not writable"):
        volume_info.save(path, VolumeInfo())
    assert path.read_bytes() == FROM_WEED


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.vif"
    path.write_bytes(FROM_WEED)

    def no_space(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        volume_info.save(path, VolumeInfo(read_only=True))
    assert path.read_bytes() == FROM_WEED
    assert os.listdir(tmp_path) == ["1.vif"]
