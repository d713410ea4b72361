"""White list, JWT and TLS."""
