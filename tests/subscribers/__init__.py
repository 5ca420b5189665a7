"""Tests of newsletter.subscribers."""
