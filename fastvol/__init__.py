"""fastvol: a read-optimised, drop-in volume server for SeaweedFS clusters.

As a library: ``from fastvol import Volume`` (see docs/library.md).
"""

from typing import TYPE_CHECKING

from fastvol.version import VERSION

if TYPE_CHECKING:
    from fastvol.store.standalone import StoredFile, Volume

__version__ = VERSION

__all__ = ["StoredFile", "Volume", "__version__"]


def __getattr__(name: str) -> object:
    """The storage engine is loaded when it is first asked for: importing fastvol stays light."""
    if name in ("StoredFile", "Volume"):
        from fastvol.store import standalone

        return getattr(standalone, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
