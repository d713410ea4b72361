"""Needle maps."""
