"""Talking with an API server that may be strange: requests, answers, watches, events; nothing is decided here."""
