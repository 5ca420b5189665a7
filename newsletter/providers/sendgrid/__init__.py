"""Everything we know of SendGrid: how to hand mails over, and what its answers mean."""
