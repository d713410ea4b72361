"""Object stores by the names that a master gives them, and settings of remote storages."""

import pytest

from fastvol.errors import RemoteStorageError
from fastvol.pb import master_pb2, remote_pb2
from fastvol.remote.backends import Backends, concurrency, split_name
from fastvol.remote.object_types import endpoint_of, s3_settings


def announced(identity: str, kind: str = "s3", **properties: str) -> master_pb2.StorageBackend:
    return master_pb2.StorageBackend(type=kind, id=identity, properties=properties)


def test_names() -> None:
    """The default one has the name of its type, too; what is known stays what it was."""
    backends = Backends()
    assert backends.names() == "[]"
    backends.load([announced("default", bucket="one"), announced("cold", bucket="two")])
    backends.load([announced("default", bucket="three"), announced("x", "rclone")])
    assert backends.names() == "[s3.default s3 s3.cold]"
    assert backends.get("s3") is backends.get("s3.default")
    assert backends.get("s3").bucket.name == "one"
    with pytest.raises(RemoteStorageError, match=r"backend storage rclone\.x not found"):
        backends.get("rclone.x")


@pytest.mark.parametrize(
    ("name", "found"),
    [("s3", ("s3", "default")), ("s3.cold", ("s3", "cold")), ("s3.a.b", ("", ""))],
)
def test_split_names(name: str, found: tuple[str, str]) -> None:
    assert split_name(name) == found


def test_properties() -> None:
    backends = Backends()
    backends.load(
        [
            announced(
                "a",
                aws_access_key_id="k",
                aws_secret_access_key="s",
                region="r",
                bucket="b",
                endpoint="http://x",
                force_path_style="false",
                upload_concurrency="7",
                download_concurrency="1000",
            ),
            announced("b"),
        ]
    )
    first, second = backends.get("s3.a"), backends.get("s3.b")
    settings = first.bucket._settings
    assert (settings.endpoint, settings.region) == ("http://x", "r")
    assert (settings.access_key, settings.secret_key) == ("k", "s")
    assert not settings.path_style
    assert (first.upload_concurrency, first.download_concurrency) == (7, 64)
    assert second.bucket._settings.path_style
    assert second.bucket._storage == {"StorageClass": "STANDARD_IA"}
    assert (second.upload_concurrency, second.download_concurrency) == (5, 5)
    assert (concurrency(-1), concurrency(0, 9), concurrency(3)) == (5, 9, 3)


def test_settings_of_every_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each type has fields of its own; keys that are not given come from the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "COS_SECRETID"):
        monkeypatch.delenv(name, raising=False)
    plain = remote_pb2.RemoteConf(type="s3", s3_endpoint="http://x", s3_force_path_style=True)
    assert s3_settings(plain).anonymous
    assert s3_settings(plain).path_style
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "environment")
    assert s3_settings(plain).anonymous  # as upstream: these are for others
    filebase = s3_settings(remote_pb2.RemoteConf(type="filebase", filebase_endpoint="e"))
    assert (filebase.access_key, filebase.secret_key) == ("from", "environment")
    assert (filebase.region, filebase.path_style) == ("us-east-1", True)
    aliyun = s3_settings(remote_pb2.RemoteConf(type="aliyun", aliyun_region="r"))
    assert (aliyun.region, aliyun.path_style) == ("r", False)
    for kind in ("b2", "baidu", "contabo", "storj", "tencent", "wasabi"):
        assert s3_settings(remote_pb2.RemoteConf(type=kind)).endpoint == ""
    azure = remote_pb2.RemoteConf(type="azure", name="n", azure_endpoint="http://y")
    assert endpoint_of(azure) == "http://y"
    with pytest.raises(RemoteStorageError, match="type azure is not supported by fastvol"):
        s3_settings(azure)
