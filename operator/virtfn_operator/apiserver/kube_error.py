"""The error raised when the API server refuses a request or does not answer.

It lives here so that callers can catch it without importing the HTTP client.
"""

from http import HTTPStatus


class KubeError(Exception):
    """The API server refused a request, or did not answer it (`status` 0); waiting may help."""

    def __init__(
        self, status: int, message: str, *, retry_in: float = 0.0, held: bool = False, cause: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_in = retry_in
        """Seconds until the same request may be sent again."""
        self.held = held
        """Whether the request was not sent because of earlier failures. They are logged already, so do not log this."""

        self.cause = cause
        """What the PodDisruptionBudget or admission webhook says that refused an eviction; empty for other errors."""

    @property
    def absent(self) -> bool:
        """Whether the object does not exist."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def exists(self) -> bool:
        """Whether another client created the object first, or changed it meanwhile."""
        return self.status == HTTPStatus.CONFLICT
