"""Tests of the public pages and the studio, through the whole application."""
