"""Tests of newsletter.schedule."""
