"""Tests of newsletter.providers.sendgrid."""
