"""MJML's first implementation, run beside ours: what it draws is what our mails must look like."""
