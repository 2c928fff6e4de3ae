"""The wall clock, in the API's formats."""

from datetime import UTC, datetime


def timestamp() -> str:
    """Return the time as metav1.Time, like `2026-11-23T22:04:05Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp() -> str:
    """Return the time as metav1.MicroTime, like `2026-11-23T22:04:05.123456Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
