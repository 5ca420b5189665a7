"""Tests of what keeps the newsletter running."""
