"""The composition root: builds the parts from a Config, starts them, stops them; nothing else."""

from fastvol.server.lifecycle import EXIT_DUPLICATE_DIRECTORIES, EXIT_OK, run

__all__ = ["EXIT_DUPLICATE_DIRECTORIES", "EXIT_OK", "run"]
