"""Object-store client for tiered volumes."""
