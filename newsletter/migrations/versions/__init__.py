"""The steps, numbered; each can be taken back."""
