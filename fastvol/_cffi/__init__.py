"""The C core and its typed Python faces."""
