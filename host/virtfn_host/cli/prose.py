"""The help of one verb of `virtfn` or `kubectl virtfn`, without its options. Text only, for 80 columns."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """What a verb does, what it reads and writes, exit statuses, examples."""

    line: str
    """One line in the imperative, for the list of verbs."""
    description: str
    files: str
    examples: str
    statuses: str = ""
    """Exit statuses that mean something special for this verb."""

    @property
    def whole_description(self) -> str:
        """Return line and description, the line first: shells show the first line beside a verb."""
        return f"{self.line[0].upper()}{self.line[1:]}.\n\n{self.description}"

    def epilog(self, statuses: str) -> str:
        """Return the sections below the options; `statuses`: the exit statuses of every verb."""
        special = f"{statuses}\n{self.statuses.strip()}" if self.statuses else statuses
        parts = (("what it reads and writes", self.files), ("exit status", special), ("examples", self.examples))
        return "\n\n".join(f"{title}:\n{indented(text)}" for title, text in parts)


def indented(text: str) -> str:
    """Return a text with each line indented by two."""
    return "\n".join(f"  {line}".rstrip() for line in text.strip("\n").splitlines())
