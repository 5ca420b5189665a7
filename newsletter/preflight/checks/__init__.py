"""One file, one question about a mailing."""
