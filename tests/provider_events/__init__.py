"""Tests of what a provider tells."""
