"""Tests of newsletter/cli."""
