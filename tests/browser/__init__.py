"""Where tests find a Chromium: the one a person names, one on the machine, or one from npm that needs no root."""
