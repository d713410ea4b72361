"""A real S3 endpoint: SeaweedFS in one process, apart from the cluster under test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.client import Config
from cluster import Server, started, weed
from daemons import START_SECONDS_MAX, free_ports, wait_until
from http_calls import HOST, get

KEY: Final = "somebody"
SECRET: Final = "a secret of theirs"
BUCKET: Final = "tier"


@dataclass
class ObjectStore:
    """One endpoint with one bucket."""

    server: Server
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}),
        )

    def keys(self) -> set[str]:
        """What is in the bucket."""
        return {
            one["Key"] for one in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
        }

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def empty(self) -> None:
        """Removes whatever is in the bucket."""
        for key in self.keys():
            self.client.delete_object(Bucket=BUCKET, Key=key)

    def master_toml(self, *, backend: str = "s3.default", **changed: str) -> str:
        """The section of a master's configuration that names this bucket."""
        values = {
            "aws_access_key_id": KEY,
            "aws_secret_access_key": SECRET,
            "region": "us-east-1",
            "bucket": BUCKET,
            "endpoint": self.endpoint,
            "storage_class": "STANDARD_IA",
            **changed,
        }
        lines = [f"[storage.backend.{backend}]", "enabled = true"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        return "\n".join([*lines, ""])


@contextmanager
def object_store(base: Path) -> Iterator[ObjectStore]:
    """Started, with its bucket made; killed at the end."""
    base.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(("master", "volume", "filer", "s3"), free_ports(4), strict=True))
    users = base / "s3.json"
    identity = {
        "name": "tester",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    users.write_text(json.dumps({"identities": [identity]}))
    data = base / "data"
    data.mkdir()
    command = weed(base, "server", f"-ip={HOST}", f"-dir={data}", "-filer", "-s3")
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    command += [f"-s3.config={users}", "-master.telemetry=false", "-volume.max=60"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-master.volumeSizeLimitMB=64", "-master.volumePreallocate=false"]
    server = Server(base, "objects", ports["s3"], command)
    with started(server):
        store = ObjectStore(server, ports["s3"])
        wait_until(lambda: get(store.port, "/status").status < 500, "s3", START_SECONDS_MAX)
        wait_until(lambda: _made(store), "a bucket", START_SECONDS_MAX)
        yield store


def _made(store: ObjectStore) -> bool:
    """The gateway answers before the filer behind it does."""
    try:
        store.client.create_bucket(Bucket=BUCKET)
        store.put("probe", b"1")
        store.client.delete_object(Bucket=BUCKET, Key="probe")
    except Exception as error:  # whatever it is, it will be better in a moment or time runs out
        print(error)
        return "BucketAlreadyOwnedByYou" in str(error) and store.keys() is not None
    return True
