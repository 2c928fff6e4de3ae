"""Asks the API server by running kubectl, which knows every kind of kubeconfig, login and proxy (decision 0035).

Requests name paths (`kubectl get --raw`), so that no discovery is needed, lists come in pages, and an error comes with
the API's own word for it. Nothing that comes back may contain control characters: they could rewrite a terminal.
"""

import io
import json
import os
import re
import select
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from virtfn_host.core.values.strict_json import parse_json
from virtfn_kubectl.read.printable import is_printable, printable
from virtfn_operator.api import GROUP, NODES, POLICIES, VERSION

POLICIES_PATH = f"/apis/{GROUP}/{VERSION}/{POLICIES}"
NODES_PATH = f"/apis/{GROUP}/{VERSION}/{NODES}"

PAGE = 500
"""Objects of one answer, as kubectl's --chunk-size."""
PAGES = 1000
"""Pages of one list at most: a server that always names another page must not hold this program."""

PATIENCE = 60
"""Seconds for one request."""

ANSWER_BYTES, LIST_BYTES = 16 << 20, 256 << 20
"""What a command in a pod may print (a plan has some hundred bytes for each VF), and any other program, such as a
page of a list."""

_REASON = re.compile(r"Error from server \((\w+)\): (.*)", re.DOTALL)
_MAY = re.compile(r"^(yes|no)(?: -(.*))?\Z", re.DOTALL | re.MULTILINE)
"""kubectl's answer, with the reasons of those who decide; a reason may have several lines."""
_ESCAPED = re.compile(r"\\(?:[bfr]|u(?!00(?:[2-6]|7[0-9a-eA-E])))")
"""An escape of JSON that may be a control character; those of printable ASCII, like `<`, are not."""
_COLOR = re.compile(r"\033\[(?:[01]|3[123])m")
"""A colour of `virtfn` (`cli/paint.py`), and no other sequence: one of them hides what follows."""


class AskError(Exception):
    """The API server, or kubectl, did not give what was asked for."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        """The API's word, like NotFound or Forbidden; empty where kubectl itself failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A program that has ended."""

    status: int
    out: str
    err: str


class Run(Protocol):
    """Runs a program to its end."""

    def __call__(self, words: Sequence[str], seconds: float, given: str | None = None) -> Ran:
        """Run it, with `given` as its standard input, or with none.

        Raises:
            OSError: it cannot be run, or prints too much.
            TimeoutError: it did not end in time.
        """
        ...


def run_program(words: Sequence[str], seconds: float, given: str | None = None) -> Ran:
    """Run a program with a deadline and a bound for its output, in which what is no UTF-8 is replaced."""
    end, pipe = time.monotonic() + seconds, subprocess.PIPE
    most = ANSWER_BYTES if "exec" in words else LIST_BYTES
    with subprocess.Popen(words, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        try:
            out, err = _exchanged(child, memoryview((given or "").encode()), end, most)
            child.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise TimeoutError(f"{words[0]} did not end within {seconds:.0f} s") from error
        except BaseException:  # also an interrupt
            child.kill()
            raise
    return Ran(status=child.returncode, out=_decoded(out), err=_decoded(err))


def _exchanged(child: subprocess.Popen[bytes], given: memoryview, end: float, most: int) -> tuple[bytearray, bytearray]:
    """Write what is given, and read stdout and stderr until both are closed.

    Raises:
        OSError: together they have more than `most` bytes.
        subprocess.TimeoutExpired: they are still open at `end`.
    """
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as pipes:
        for pipe, into in ((child.stdin, None), (child.stdout, out), (child.stderr, err)):
            if pipe is not None:  # for the type checker: all three are pipes
                pipes.register(pipe, selectors.EVENT_WRITE if into is None else selectors.EVENT_READ, (pipe, into))
        while pipes.get_map():
            if (left := end - time.monotonic()) <= 0:
                raise subprocess.TimeoutExpired(child.args, end)
            for key, _ in pipes.select(left):
                pipe, into = key.data
                if into is None:
                    more = bool(given := _unwritten(key.fd, given))
                else:
                    into += (read := os.read(key.fd, 1 << 16))
                    more = bool(read)
                if not more:
                    pipes.unregister(pipe)
                    pipe.close()
            if len(out) + len(err) > most:
                raise OSError(f"it printed more than {most} bytes")
    return out, err


def _unwritten(file: int, given: memoryview) -> memoryview:
    try:
        return given[os.write(file, given[: select.PIPE_BUF]) :]
    except BrokenPipeError:  # a program need not read all that it is given
        return given[:0]


def _decoded(printed: bytes | bytearray) -> str:
    return io.TextIOWrapper(io.BytesIO(printed), "utf-8", "replace").read()


class Cluster:
    """The cluster that the options name."""

    def __init__(self, options: Sequence[str] = (), *, program: str = "kubectl", run: Run = run_program) -> None:
        """Take kubectl's own options, like `--context=lab`."""
        self._options = list(options)
        self._program = program
        self._run = run

    def get(self, path: str, **query: str | int) -> Any:
        """Return the JSON of a path.

        Raises:
            AskError: there is none.
        """
        try:
            return parsed(self._raw(path, **query))
        except (ValueError, RecursionError) as error:
            raise AskError(f"{path}: the answer is not JSON: {error}") from error

    def text(self, path: str, **query: str | int) -> str:
        """Return what a path answers, not parsed, without control characters.

        Raises:
            AskError: it answers with an error.
        """
        return fit(self._raw(path, **query))

    def _raw(self, path: str, **query: str | int) -> str:
        asked = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        done = self._kubectl("get", f"--request-timeout={PATIENCE}s", "--raw", asked)
        if done.status:
            raise _error(done.err, path)
        return done.out

    def items(self, path: str, **query: str | int) -> list[Any]:
        """Return all objects of a list, page by page.

        Raises:
            AskError: the list cannot be read, or never ends.
        """
        found: list[Any] = []
        more: dict[str, str | int] = {}
        for _ in range(PAGES):
            answer = self.get(path, **query, limit=PAGE, **more)
            items, after = _page(answer)
            found += items
            if not after:
                return found
            more = {"continue": after}
        raise AskError(f"{path}: the list does not end after {PAGES} pages")

    def items_or_none(self, path: str, complain: Callable[[str], None], **query: str | int) -> list[Any] | None:
        """Return all objects of a list, or None after a complaint: the answer is useful without it."""
        try:
            return self.items(path, **query)
        except AskError as error:
            complain(str(error))
            return None

    def first(self, path: str, **query: str | int) -> Any:
        """Return the first object of a list, or None if it is empty.

        Raises:
            AskError: the list cannot be read.
        """
        items, _ = _page(self.get(path, **query, limit=1))
        return items[0] if items else None

    def namespace(self) -> str:
        """Return the namespace of the present context, as kubectl would use it.

        Raises:
            AskError: the kubeconfig cannot be read.
        """
        done = self._kubectl("config", "view", "--minify", "--output=jsonpath={..namespace}")
        if done.status:
            raise _error(done.err, "the namespace of the context")
        return fit(done.out).strip() or "default"

    def may(self, verb: str, kind: str) -> tuple[bool, str]:
        """Return whether the user may do this in the whole cluster, and the API server's reason if it gives one.

        Raises:
            AskError: the API server does not say.
        """
        done = self._kubectl("auth", "can-i", verb, kind, "--all-namespaces")
        if (answer := _MAY.search(done.out.strip())) is None:
            raise _error(done.err, f"whether you may {verb} {kind}")
        return answer[1] == "yes", " ".join(fit(answer[2] or "").split())

    def helm_values(self, namespace: str, release: str) -> str:
        """Return the values of a Helm release as JSON, those of the chart included.

        Raises:
            AskError: helm is not there, or does not tell them.
        """
        options = [it.replace("--context=", "--kube-context=", 1) for it in self._options]
        words = ["helm", *options, "get", "values", release, "--namespace", namespace, "--all", "--output=json"]
        try:
            done = self._run(words, PATIENCE)
            json.loads(done.out if done.status == 0 else "{}")
        except (OSError, ValueError, RecursionError) as error:
            raise AskError(f"Helm's values: {error}") from error
        if done.status:
            raise _error(done.err, "Helm's values")
        return done.out

    def annotate(self, resource: str, name: str, key: str, value: str | None) -> Any:
        """Set an annotation of a cluster-wide object, or remove it if the value is None; return the object.

        Nothing else of the object is written, so an edit that happens at the same time is not undone.

        Args:
            resource: plural and group, like `sriovpolicies.virtfn.dev`.
            name: the object's name.
            key: the annotation's name.
            value: its value.

        Raises:
            AskError: the API server refuses it; its reason says why.
        """
        patch = json.dumps({"metadata": {"annotations": {key: value}}})
        done = self._kubectl("patch", resource, name, "--type=merge", f"--patch={patch}", "--output=json")
        if done.status:
            raise _error(done.err, name)
        try:
            return parsed(done.out)
        except (ValueError, RecursionError) as error:
            raise AskError(f"{name} was written, but kubectl's answer is not JSON: {error}") from error

    def would_store(self, document: str) -> Any:
        """Return what the API server would store of a document, YAML or JSON, without storing it.

        It is checked as `kubectl apply` has it checked: unknown fields, the schema and its rules, admission.

        Raises:
            AskError: the document is refused, or the API server does not answer.
        """
        words = ("apply", "--dry-run=server", "--validate=strict", "--output=json", "--filename=-")
        done = self._kubectl(*words, given=document)
        if done.status:
            raise _error(done.err, "the document")
        try:
            return parsed(done.out)
        except (ValueError, RecursionError) as error:
            raise AskError(f"the answer of kubectl apply is not JSON: {error}") from error

    def ask_in(self, namespace: str, pod: str, container: str, words: Sequence[str], given: str, seconds: float) -> Ran:
        """Run a command in a container with a text as its standard input; its exit status is that of the command.

        What comes back is no proof of an answer: kubectl may lose all output of a command and still end with status 0
        (kubernetes issues 73056, 124571). So the answer must be a document that shows whether it is whole.

        Raises:
            AskError: kubectl cannot be run, or the command does not end in time.
        """
        where = (f"--namespace={namespace}", pod, f"--container={container}")
        done = self._kubectl("exec", "--stdin", *where, "--", *words, given=given, seconds=seconds)
        return Ran(status=done.status, out=fit(done.out), err=fit(done.err))

    def execute(self, namespace: str, pod: str, container: str, words: Sequence[str], *, painted: bool = False) -> Ran:
        """Run a command in a container; its exit status is that of the command. `painted` keeps colours of `virtfn`.

        Raises:
            AskError: kubectl cannot be run, the API server refuses, or the command does not end.
        """
        done = self._kubectl("exec", f"--namespace={namespace}", pod, f"--container={container}", "--", *words)
        if done.status and not done.out and _REASON.search(done.err) is not None:
            raise _error(done.err, f"exec in {namespace}/{pod}")
        return Ran(status=done.status, out=fit(done.out, painted=painted), err=fit(done.err))

    def _kubectl(self, *words: str, given: str | None = None, seconds: float = PATIENCE * 2) -> Ran:
        # kubectl's own deadline comes first, because it says more of what is wrong.
        whole = [self._program, *self._options, *words]
        try:
            return self._run(whole, seconds) if given is None else self._run(whole, seconds, given)
        except FileNotFoundError as error:
            raise AskError(f"there is no {self._program} on PATH; KUBECTL names another program") from error
        except OSError as error:  # TimeoutError is one
            raise AskError(f"{self._program}: {error}") from error


def _error(err: str, path: str) -> AskError:
    text = " ".join(fit(err).split()) or "kubectl failed without a word"
    if (found := _REASON.search(text)) is not None:
        return AskError(f"{path}: {found[2]}", found[1])
    return AskError(text)


def _page(answer: object) -> tuple[list[Any], str]:
    if not isinstance(answer, Mapping) or not isinstance(answer.get("items"), list):
        raise AskError("the API server answered with something that is no list")
    metadata = answer.get("metadata")
    after = metadata.get("continue") if isinstance(metadata, Mapping) else None
    return answer["items"], after if isinstance(after, str) else ""


def parsed(text: str) -> Any:
    """Return the value of a JSON text, its strings without control characters."""
    value = json.loads(text)
    odd = _ESCAPED.search(text) is not None or not is_printable(text)
    return _fit(value) if odd else value  # walking 50 MB of strings for nothing would take seconds


def parsed_strictly(text: str) -> Any:
    """Return the same of a text that a pod printed. The API server gives JSON that it made itself; a pod may print what
    no JSON is made of afterwards, such as NaN or half of a surrogate pair.

    Raises:
        ValueError: it is refused.
    """
    return _fit(parse_json(text, limit=ANSWER_BYTES))


def _fit(value: Any) -> Any:
    match value:
        case str():
            return printable(value)
        case list():
            return [_fit(item) for item in value]
        case dict():
            return {_fit(key): _fit(item) for key, item in value.items()}
    return value


def fit(text: str, *, painted: bool = False) -> str:
    """Return the output of a program, its control characters replaced; `painted` keeps the colours of `virtfn`."""
    if not painted:
        return printable(text)
    parts = zip(_COLOR.split(text), [*_COLOR.findall(text), ""], strict=True)
    return "".join(printable(plain) + color for plain, color in parts)
