"""Guards of the house: what every change must leave true, whatever it is about."""
