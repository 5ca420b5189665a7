"""Everything we know of SMTP servers: how to hand mails over one by one, and what their replies mean."""
