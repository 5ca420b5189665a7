"""The command line: one file for each group of commands. Heavy imports stand inside the commands."""
