"""The error raised when the API server refuses a request or does not answer.

It lives here so that callers can catch it without importing the HTTP client.
"""

from http import HTTPStatus


class KubeError(Exception):
    """The API server refused a request, or did not answer it (`status` 0); waiting may help."""

    def __init__(self, status: int, message: str, *, retry_in: float = 0.0, held: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.retry_in = retry_in
        """Seconds before which the same request would not be sent."""
        self.held = held
        """It was not sent, because others like it failed a moment ago: nothing is new, so nothing is to be logged."""

    @property
    def absent(self) -> bool:
        """There is no such object."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def exists(self) -> bool:
        """Somebody else made it first, or changed it meanwhile."""
        return self.status == HTTPStatus.CONFLICT
