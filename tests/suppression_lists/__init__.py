"""Tests of newsletter.suppression_lists."""
