"""fastvol: a read-optimised, drop-in volume server for SeaweedFS clusters."""

from fastvol.version import VERSION

__version__ = VERSION

__all__ = ["__version__"]
