"""One volume: open, check, read, write, delete."""
