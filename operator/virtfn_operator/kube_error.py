"""What the API server's no is to everybody else: here, so that who only catches it needs no HTTP client."""

from http import HTTPStatus


class KubeError(Exception):
    """The API server said no, or did not answer (`status` 0); waiting may help."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def absent(self) -> bool:
        """There is no such object."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def exists(self) -> bool:
        """Somebody else made it first, or changed it meanwhile."""
        return self.status == HTTPStatus.CONFLICT
