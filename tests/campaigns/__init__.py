"""Tests of newsletter/campaigns."""
