"""Killed at any moment, with a provider that fails: what the provider has on record is held against ours."""
