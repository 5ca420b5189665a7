"""Tests of the local double of SendGrid."""
