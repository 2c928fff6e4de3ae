"""Turns objects of the API server into typed values. Pure. An object that cannot be read becomes one line, no crash."""
