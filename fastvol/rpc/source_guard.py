"""The servers that a caller may have this one copy from (weed/server/volume_grpc_copy.go, as of 4.48)."""

from __future__ import annotations

from fastvol.errors import FastvolError
from fastvol.rpc.status import wrap
from fastvol.security.address_guard import checked_target


async def check_source(source: str, named: str) -> list[str]:
    """Refuses a server that a caller must not have this one dial; the addresses to dial, of others.

    Args:
        source: as the caller gave it.
        named: what the refusal calls it.

    Raises:
        StatusError
    """
    try:
        return await checked_target(source)
    except FastvolError as error:
        raise wrap(f"invalid {named} {source}: ", error) from error
