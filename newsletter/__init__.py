"""A clinic's monthly newsletter, from a draft to every reader's inbox."""
