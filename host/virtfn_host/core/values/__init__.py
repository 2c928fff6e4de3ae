"""Frozen values, and how text becomes one: nothing in this room decides anything."""
