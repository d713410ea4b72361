"""Metrics, request ids and logging."""
