"""A line of a log is one line, whatever is in it, with the fields by which lines of several processes go together."""

import argparse
import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from virtfn_host.logs.lines import NAMES, JsonLines, TextLines, about, context
from virtfn_host.logs.repeats import Repeats
from virtfn_host.logs.start import add_log_options, start_log

Logged = Callable[..., str]


def logger(formatter: logging.Formatter) -> tuple[logging.Logger, io.StringIO]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    made = logging.Logger("virtfn.test")
    made.addHandler(handler)
    return made, out


def text(message: str, *words: object, **fields: object) -> str:
    made, out = logger(TextLines())
    made.info(message, *words, extra=fields)
    return out.getvalue()


def told(message: str, *words: object, **fields: object) -> dict[str, Any]:
    made, out = logger(JsonLines())
    made.info(message, *words, extra=fields)
    (line,) = out.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


HOSTILE = ["a\nERROR forged", "a\r\n\x1b[31m", "\u2028x", "\ud800", "\0", '"}\n{"level":"error"']


@pytest.mark.parametrize("word", HOSTILE)
def test_no_text_begins_a_line_of_its_own(word: str) -> None:
    for line in (text("refused: %s", word), text("x", policy=word)):
        assert line.endswith("\n")
        assert line[:-1].isprintable()
        assert len(line.splitlines()) == 1
    found = told("refused: %s", word, policy=word)
    assert found["message"] == f"refused: {word}"
    assert found["policy"] == word


@pytest.mark.parametrize(
    ("given", "shown"), [({}, ""), ({"turn": 7}, " turn=7"), ({"policy": "a,b", "pf": "x"}, " policy=a,b")]
)
def test_text_shows_turn_and_policy_behind_the_message(given: dict[str, object], shown: str) -> None:
    assert text("done", **given).endswith(f"INFO virtfn.test: done{shown}\n")


def test_json_has_time_level_logger_message_and_fields_and_nothing_else() -> None:
    fields = dict.fromkeys(NAMES, "x")
    found = told("hello", **fields, secret="y")
    assert set(found) == {"time", "level", "logger", "message", *NAMES}
    assert (found["level"], found["logger"]) == ("info", "virtfn.test")
    assert found["time"].endswith("+00:00")


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_field_is_left_out(empty: object) -> None:
    assert "policy" not in told("x", policy=empty)


@pytest.mark.parametrize("word", [*HOSTILE, "2026-01-01 00:00:00,000 ERROR virtfn.host: x", "\n", "a\n\n  b", "\x85x"])
@pytest.mark.parametrize("notes", [(), ("a note\nERROR forged \x1b[2J",)])
def test_no_text_of_an_exception_begins_a_line_or_controls_a_terminal(word: str, notes: tuple[str, ...]) -> None:
    made, out = logger(TextLines())
    try:
        raise RuntimeError(word)
    except RuntimeError as error:
        for note in notes:
            error.add_note(note)
        made.exception("a turn failed", stack_info=True)
    first, *below = out.getvalue().removesuffix("\n").split("\n")
    assert first.endswith("ERROR virtfn.test: a turn failed")
    assert below[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") and line.isprintable() for line in below)
    assert any("RuntimeError: " in line for line in below)


def test_an_exception_is_one_line_of_json() -> None:
    made, out = logger(JsonLines())
    try:
        raise RuntimeError("boom\nbang")
    except RuntimeError:
        made.exception("a turn failed")
    (line,) = out.getvalue().splitlines()
    assert "RuntimeError: boom" in json.loads(line)["exception"]


async def test_the_context_goes_along_with_tasks_and_threads_and_ends() -> None:
    async def inside() -> object:
        return context().get("turn"), await asyncio.to_thread(lambda: context().get("turn"))

    with about(node="n1"), about(turn=3):
        assert await asyncio.create_task(inside()) == (3, 3)
        assert told("x")["node"] == "n1"
    assert context() == {}
    assert await asyncio.create_task(inside()) == (None, None)


def test_a_field_of_the_line_counts_more_than_that_of_its_context() -> None:
    with about(node="n1", turn=3):
        assert told("x", node="n2")["node"] == "n2"


@pytest.mark.parametrize(
    ("words", "level", "formatter", "limited"),
    [
        ((), logging.INFO, TextLines, True),
        (("--log-format=json", "--log-level=warning"), logging.WARNING, JsonLines, True),
        (("--log-level", "debug"), logging.DEBUG, TextLines, False),
    ],
)
def test_the_options_of_every_process(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], level: int, formatter: type, limited: bool
) -> None:
    root = logging.RootLogger(logging.WARNING)
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # a log in JSON takes over what is uncaught
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setenv("GRPC_VERBOSITY", "ERROR")
    parser = argparse.ArgumentParser()
    add_log_options(parser)
    start_log(parser.parse_args(words), repeats=True)
    (handler,) = root.handlers
    assert root.level == level
    assert type(handler.formatter) is formatter
    assert any(isinstance(it, Repeats) for it in handler.filters) is limited


@pytest.mark.parametrize("words", [("--log-level=loud",), ("--log-format=xml",), ("--log-level=",)])
def test_options_that_are_none_are_usage_errors(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="virtfn-host")
    add_log_options(parser)
    with pytest.raises(SystemExit) as end:
        parser.parse_args(words)
    assert end.value.code == 2
    assert "choose from" in capsys.readouterr().err
