"""Reads `subscribers/`; keeps people, what they agreed to, and who must not be mailed."""
