"""Tests of newsletter.editions."""
