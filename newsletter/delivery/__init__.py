"""From an approved edition to receipts: once to everybody it is for, and what cannot be known is called uncertain."""
