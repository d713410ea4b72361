"""Erasure coding."""
