"""Reads `campaigns/`: what the clinic's files say a month shall be. Knows no database."""
