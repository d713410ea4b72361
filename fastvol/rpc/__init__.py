"""gRPC control plane."""
