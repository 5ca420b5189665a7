"""Tests of newsletter.providers.smtp, and an SMTP server to run them against."""
