"""What must hold before anyone may approve a mailing."""
