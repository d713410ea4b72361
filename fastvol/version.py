"""Version strings, ours and those of the SeaweedFS release whose behaviour we follow.

Source of the upstream strings: weed/util/version/constants.go, weed/util/constants_5bytes.go.
"""

VERSION = "0.1.0"

UPSTREAM_VERSION = "4.48"
UPSTREAM_COMMIT = "fastvol"

SIZE_LIMIT_NAMES = {4: "30GB", 5: "8000GB"}
"""Offset width in bytes -> the word by which upstream names that build."""


def short_version(offset_width: int) -> str:
    """``8000GB 4.48``: the HTTP Server header and heartbeat peers see this."""
    return f"{SIZE_LIMIT_NAMES[offset_width]} {UPSTREAM_VERSION}"


def full_version(offset_width: int) -> str:
    """``8000GB 4.48 fastvol``: the form of ``/status`` and VolumeServerStatus."""
    return f"{short_version(offset_width)} {UPSTREAM_COMMIT}"
