"""Wall clock time as the API writes it."""

from datetime import UTC, datetime


def timestamp() -> str:
    """metav1.Time: `2026-11-23T22:04:05Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp() -> str:
    """metav1.MicroTime: `2026-11-23T22:04:05.123456Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
