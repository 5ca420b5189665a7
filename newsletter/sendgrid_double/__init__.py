"""A local double of SendGrid: refuses what SendGrid would, keeps the mails to look at, and fails when it is told to.

A program of its own, for trying and testing. It shares no rule with our transport, so that either can show the other
wrong.
"""
