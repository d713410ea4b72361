"""Generated protobuf modules (see protos/)."""
