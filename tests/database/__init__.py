"""Tests of the ground for rows."""
