"""HTTP data plane."""
