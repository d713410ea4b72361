"""Talking to the master and to peers."""
