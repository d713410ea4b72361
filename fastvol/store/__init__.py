"""Disk locations and the volume table."""
