"""fastvol: a read-optimised, drop-in volume server for SeaweedFS clusters."""

from fastvol.version import VERSION as __version__

__all__ = ["__version__"]
