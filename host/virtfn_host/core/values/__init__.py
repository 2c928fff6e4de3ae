"""Frozen values, and the parsers that make them from text. No module here decides anything."""
