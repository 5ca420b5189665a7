"""A mailing frozen: what is approved, scheduled and sent, byte for byte."""
