"""Reads `templates/`: makes a mail from a mailing. The same input gives the same bytes."""
