"""Descriptions of functions for people: rows of a list, explanations, names."""
