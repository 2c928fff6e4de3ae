"""Requests, answers, watches and events of an API server that may misbehave; nothing is decided here."""
