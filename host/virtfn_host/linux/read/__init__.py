"""Reads files of /sys and /proc that answer at once, and kernel events. No other room opens /sys."""
