"""The tests mirror `newsletter/`; beside it stand `oracle/`, `browser/` and `rules/`, the guards of the house."""
