"""What ends a run: a mistake on the command line, or something that is not there."""


class NotThereError(Exception):
    """Nothing has the name that was given; the message says what there is."""


class MistakeError(Exception):
    """The command line must be changed; the message says how."""
