"""Remote storages that objects are fetched from, as filers describe them.

All that speak S3 differ in where their settings stand, and in which environment variables hold keys
that are not given (weed/remote_storage/s3).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastvol.errors import RemoteStorageError
from fastvol.remote.backends import USER_AGENT
from fastvol.remote.settings import S3Settings

if TYPE_CHECKING:
    from fastvol.pb import remote_pb2

_OTHERS: Final = ("azure", "gcs")


@dataclass(frozen=True, slots=True)
class _Type:
    """Names of fields of a RemoteConf, and environment variables behind them."""

    endpoint: str
    key: str
    secret: str
    region: str = ""
    fixed_region: str = ""
    path_style: bool = False
    key_variable: str = ""
    secret_variable: str = ""


_AWS: Final = {"key_variable": "AWS_ACCESS_KEY_ID", "secret_variable": "AWS_SECRET_ACCESS_KEY"}
_TYPES: Final = {
    "s3": _Type("s3_endpoint", "s3_access_key", "s3_secret_key", "s3_region"),
    "aliyun": _Type(
        "aliyun_endpoint",
        "aliyun_access_key",
        "aliyun_secret_key",
        "aliyun_region",
        key_variable="ALICLOUD_ACCESS_KEY_ID",
        secret_variable="ALICLOUD_ACCESS_KEY_SECRET",  # noqa: S106 - the name of a variable
    ),
    "b2": _Type(
        "backblaze_endpoint",
        "backblaze_key_id",
        "backblaze_application_key",
        "backblaze_region",
        path_style=True,
    ),
    "baidu": _Type(
        "baidu_endpoint",
        "baidu_access_key",
        "baidu_secret_key",
        "baidu_region",
        key_variable="BDCLOUD_ACCESS_KEY",
        secret_variable="BDCLOUD_SECRET_KEY",  # noqa: S106
    ),
    "contabo": _Type(
        "contabo_endpoint",
        "contabo_access_key",
        "contabo_secret_key",
        "contabo_region",
        path_style=True,
        key_variable="ACCESS_KEY",
        secret_variable="SECRET_KEY",  # noqa: S106
    ),
    "filebase": _Type(
        "filebase_endpoint",
        "filebase_access_key",
        "filebase_secret_key",
        fixed_region="us-east-1",
        path_style=True,
        **_AWS,
    ),
    "storj": _Type(
        "storj_endpoint",
        "storj_access_key",
        "storj_secret_key",
        fixed_region="us-west-2",
        path_style=True,
        **_AWS,
    ),
    "tencent": _Type(
        "tencent_endpoint",
        "tencent_secret_id",
        "tencent_secret_key",
        fixed_region="us-west-2",
        path_style=True,
        key_variable="COS_SECRETID",
        secret_variable="COS_SECRETKEY",  # noqa: S106
    ),
    "wasabi": _Type(
        "wasabi_endpoint",
        "wasabi_access_key",
        "wasabi_secret_key",
        "wasabi_region",
        path_style=True,
    ),
}


def endpoint_of(conf: remote_pb2.RemoteConf) -> str:
    """Where a storage is spoken to; empty where its type has a place of its own."""
    if conf.type == "azure":
        return str(conf.azure_endpoint)
    kind = _TYPES.get(conf.type)
    return "" if kind is None else str(getattr(conf, kind.endpoint))


def s3_settings(conf: remote_pb2.RemoteConf) -> S3Settings:
    """How to speak to a storage that speaks S3.

    Raises:
        RemoteStorageError: there is no such type, or it speaks something else.
    """
    doing = f"make remote storage client {conf.name}"
    kind = _TYPES.get(conf.type)
    if kind is None:
        why = "is not supported by fastvol" if conf.type in _OTHERS else "not found"
        raise RemoteStorageError(f"{doing}: remote storage type {conf.type} {why}")

    def value(name: str, variable: str) -> str:
        return str(getattr(conf, name)) or (os.environ.get(variable, "") if variable else "")

    key, secret = value(kind.key, kind.key_variable), value(kind.secret, kind.secret_variable)
    is_plain = conf.type == "s3"
    return S3Settings(
        endpoint=endpoint_of(conf),
        region=kind.fixed_region or value(kind.region, ""),
        access_key=key,
        secret_key=secret,
        path_style=conf.s3_force_path_style if is_plain else kind.path_style,
        anonymous=not key and not secret,
        user_agent=USER_AGENT,
    )
