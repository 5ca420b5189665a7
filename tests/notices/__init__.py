"""Tests of newsletter.notices."""
