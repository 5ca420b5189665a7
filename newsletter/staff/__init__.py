"""The people who work with the newsletter, and what each may do."""
