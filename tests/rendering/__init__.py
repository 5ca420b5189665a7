"""Tests of newsletter/rendering."""
