"""The real S3 gateway over the real filer over fastvol: what an S3 client stores comes back."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError
from cluster import Cluster, Server, started, weed
from daemons import START_SECONDS_MAX, free_ports, wait_until
from http_calls import HOST, get

pytestmark = pytest.mark.interop

MIB = 1 << 20
BUCKET = "things"
KEY, SECRET = "somebody", "a secret of theirs"


@pytest.fixture(name="s3", scope="module")
def s3_fixture(cluster: Cluster) -> Iterator[Any]:
    """A client of a gateway whose objects lie on the cluster's fastvol."""
    filer_port, s3_port = free_ports(2)
    store = cluster.base / "filer"
    store.mkdir()
    users = cluster.base / "s3.json"
    identity = {
        "name": "tester",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    users.write_text(json.dumps({"identities": [identity]}))
    filer = weed(cluster.base, "filer", f"-port={filer_port}", f"-ip={HOST}", "-maxMB=4")
    filer += [f"-master={HOST}:{cluster.master.port}", f"-defaultStoreDir={store}"]
    gateway = weed(cluster.base, "s3", f"-port={s3_port}", f"-ip.bind={HOST}")
    gateway += ["-port.iceberg=0", "-port.lance=0"]  # of these ports there is one a machine
    gateway += [f"-filer={HOST}:{filer_port}", f"-config={users}"]
    servers = [
        Server(cluster.base, "filer", filer_port, filer),
        Server(cluster.base, "s3", s3_port, gateway),
    ]
    with started(servers[0]):
        servers[0].ready("/")
        with started(servers[1]):
            wait_until(lambda: get(s3_port, "/status").status < 500, "s3", START_SECONDS_MAX)
            client = boto3.client(
                "s3",
                endpoint_url=f"http://{HOST}:{s3_port}",
                aws_access_key_id=KEY,
                aws_secret_access_key=SECRET,
                region_name="us-east-1",
                config=Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
            )
            client.create_bucket(Bucket=BUCKET)
            yield client


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(size + seed).randbytes(size)


def body_of(s3: Any, key: str, **wanted: Any) -> bytes:
    return bytes(s3.get_object(Bucket=BUCKET, Key=key, **wanted)["Body"].read())


@pytest.mark.parametrize("size", [0, 1, 1000, 4 * MIB, 9 * MIB + 1])
def test_objects_come_back(s3: Any, size: int) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"whole/{size}", Body=content(size), ContentType="a/b")
    assert body_of(s3, f"whole/{size}") == content(size)
    head = s3.head_object(Bucket=BUCKET, Key=f"whole/{size}")
    assert (head["ContentLength"], head["ContentType"]) == (size, "a/b")


def test_a_large_object_in_parts(s3: Any) -> None:
    """64 MB, uploaded in parts by several threads, read back in one and in ranges."""
    data = content(64 * MIB)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="large")["UploadId"]

    def send(number: int) -> dict[str, Any]:
        piece = data[(number - 1) * 8 * MIB : number * 8 * MIB]
        done = s3.upload_part(
            Bucket=BUCKET, Key="large", UploadId=upload, PartNumber=number, Body=piece
        )
        return {"ETag": done["ETag"], "PartNumber": number}

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(send, range(1, 9)))
    s3.complete_multipart_upload(
        Bucket=BUCKET, Key="large", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert body_of(s3, "large") == data
    chance = random.Random(64)
    for _ in range(30):
        first = chance.randrange(len(data))
        last = min(len(data) - 1, first + chance.choice((0, 1, 1000, 5 * MIB)))
        assert body_of(s3, "large", Range=f"bytes={first}-{last}") == data[first : last + 1]
    assert body_of(s3, "large", Range="bytes=-17") == data[-17:]


def test_copies(s3: Any) -> None:
    data = content(6 * MIB, seed=1)
    s3.put_object(Bucket=BUCKET, Key="origin", Body=data)
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "origin"})
    s3.delete_object(Bucket=BUCKET, Key="origin")
    assert body_of(s3, "copy") == data
    with pytest.raises(ClientError, match="NoSuchKey"):
        body_of(s3, "origin")


def test_what_is_deleted_is_gone_and_the_rest_is_listed(s3: Any) -> None:
    for number in range(20):
        s3.put_object(Bucket=BUCKET, Key=f"list/{number:02}", Body=content(number))
    gone = [{"Key": f"list/{number:02}"} for number in range(0, 20, 2)]
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": gone})
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="list/")["Contents"]
    assert [entry["Key"] for entry in listed] == [f"list/{n:02}" for n in range(1, 20, 2)]
    assert body_of(s3, "list/19") == content(19)


def test_an_overwritten_object_has_the_last_content(s3: Any) -> None:
    for size in (5 * MIB, 10, 0, 300_000):
        s3.put_object(Bucket=BUCKET, Key="again", Body=content(size, seed=2))
        assert body_of(s3, "again") == content(size, seed=2)


def test_many_clients_at_once(s3: Any) -> None:
    def round_trip(number: int) -> bool:
        data = content(1000 * number, seed=3)
        s3.put_object(Bucket=BUCKET, Key=f"many/{number}", Body=data)
        return body_of(s3, f"many/{number}") == data

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(round_trip, range(200)))
