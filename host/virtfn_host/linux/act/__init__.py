"""Carrying out a plan, step by step, under the in-use lock and behind the wall."""
