"""Keeping the newsletter running: backups, moving to another database, health, measurements, and what is amiss."""
