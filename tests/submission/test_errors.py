"""Every error is one short line, whatever it repeats."""

from __future__ import annotations

import pickle
import shlex
from pathlib import Path

import pytest
from fuzzing import assert_sentence, fuzz
from hypothesis import example, given
from hypothesis import strategies as st

import submission as sub
from arc_trm.errors import UserError, suggestion
from submission.errors import (
    MAX_SENTENCE,
    FormatError,
    Problem,
    WriteError,
    format_name,
    one_line,
    quote_path,
)
from submission.files import json_value

HOSTILE = "\x1b]0;title\x07\x1b[2J \u202eabc\u2066 \n\r\t\0 \ud800 \u2028"


@fuzz
@given(st.text(st.characters(), max_size=2000).filter(bool))
@example(HOSTILE)
@example("word " * 10_000)
@example("x" * 10**6)
@example("a" * 150 + " " + "b" * 10_000 + " " + "c" * 150)
@example("\x1b" * 5000)
def test_any_error_is_one_line(text: str) -> None:
    problem = Problem(text, text)
    for error in (
        UserError(text),
        FormatError([problem, problem], text, "validate"),
        WriteError(text, text),
        UserError(f"{UserError(text)}: {UserError(text)}"),
    ):
        assert_sentence(str(error))
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert_sentence(FormatError([problem], text).describe("arc-trm"))


@pytest.mark.parametrize("path", ["a b", "-x", "--out", "it's", "$HOME", "a/-x", "~", "é"])
def test_a_shell_reads_a_quoted_path_as_one_that_is_no_option(path: str) -> None:
    (word,) = shlex.split(quote_path(path))
    assert Path(word) == Path(path)
    assert not word.startswith("-")
    assert quote_path(word) == quote_path(path)


def test_both_ends_of_a_long_sentence_stay() -> None:
    shown = one_line("first " + "middle " * 1000 + "last")
    assert shown.startswith("first ") and shown.endswith(" last")
    assert len(shown) == MAX_SENTENCE


def test_a_huge_name_is_compared_with_none() -> None:
    assert suggestion("x" * 10**6, ["xx"]) == "; known: xx"


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "NaN", "1 2", b"\xff", "", '"\\ud8"'])
def test_a_text_that_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        json_value(text)


@pytest.mark.parametrize("item", ["[]", "{}", '""'])
def test_json_that_would_take_gigabytes_is_refused(
    monkeypatch: pytest.MonkeyPatch, item: str
) -> None:
    monkeypatch.setattr("submission.files.MAX_VALUES", 1_000_000)
    content = f"[{','.join([item] * 1_000_001)}]".encode()
    with pytest.raises(FormatError, match=r"f\.json: has more than 1 million .*: split it"):
        sub.parse_json(content, "f.json")


def test_json_of_too_many_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submission.files.MAX_ITEMS", 1_000_000)
    with pytest.raises(FormatError, match="or 1 million items"):
        sub.parse_json(b"[0" + b",0" * 1_000_001 + b"]", "f.json")


@pytest.mark.parametrize(
    "text",
    ["\U0001f468\u200d\U0001f469", "\u0645\u06cc\u200c\u0634\u0648\u062f", "\u00e9 \u65e5\u672c"],
)
def test_words_of_all_languages_are_shown_as_they_are(text: str) -> None:
    assert format_name(text) == one_line(text) == text
