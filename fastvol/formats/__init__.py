"""Pure encoders and decoders of the on-disk formats."""
