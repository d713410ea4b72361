"""Flags, environment, ``security.toml`` and ``volume.toml`` made into one frozen Config."""

from fastvol.config.build import FlagValue, build_config, build_single_node_config
from fastvol.config.model import Config, DiskProbeConfig
from fastvol.config.security import SecuritySettings, SecuritySource, load_security

__all__ = [
    "Config",
    "DiskProbeConfig",
    "FlagValue",
    "SecuritySettings",
    "SecuritySource",
    "build_config",
    "build_single_node_config",
    "load_security",
]
