"""Tests of newsletter.staff."""
