"""Damaged and hostile files for the tests of readers, and what every reader must answer.

A fuzz test is a property of one reader:

    @fuzz
    @given(mutations(good_file, *files_of_an_attack))
    def test_reads_or_refuses(content: bytes) -> None:
        path.write_bytes(content)
        reads_or_refuses(lambda: read_config(path))

`make fuzz` looks for more: it runs all of them with many other examples.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from submission.errors import MAX_SENTENCE, UserError, one_line

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
"""Mutations for each fuzz test."""
MAX_EDITS = 6

TOKENS = (
    *(b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\t", b" "),
    *(b"9" * 5000, b"0x" + b"f" * 5000, b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"-0.0"),
    *(b"2147483648", b"-9223372036854775809", b"18446744073709551616", b"1e308"),
    *(b"[" * 2000, b"[" * 600 + b"]" * 600, b'{"a":' * 600, b"a." * 1000, b"{a=" * 300),
    *(b"null", b"true", b'""', b"[]", b"{}", b"[[]]", b'{"":""}', b"'", b'"', b"\\", b"\\ud800"),
    *("\u202e\u2066".encode(), "\u2028".encode(), "é".encode("latin-1"), "\U0001f600".encode()),
    *(b"\x1b]0;title\x07\x1b[2J", b"<img src=x onerror=alert(1)>", b"# heading\n", b"=1+1"),
    *(b"!!python/object/apply:os.system [true]", b"!!timestamp x", b"!!int ''", b"<<: *a", b"&a"),
    *(b"2001-01-01", b"../../../etc/passwd", b"/dev/zero", b"x" * 20_000),
)
"""Bytes that readers have stumbled over."""


def fuzz(test: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a property as a fuzz test, which `make fuzz` runs with more examples."""
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    limited = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=slow)
    return pytest.mark.fuzz(limited(test))


@st.composite
def mutations(draw: st.DrawFn, *seeds: bytes) -> bytes:
    """Contents like these files: cut, joined, with bytes changed and hostile ones put in."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, MAX_EDITS))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from((0, 1, 1, 2, 4, 8, 32, 1000))))
        new = draw(
            st.one_of(
                st.sampled_from(TOKENS),
                st.binary(max_size=8),
                st.just(bytes(content[start:end]) * 2),
                st.just(b""),
            )
        )
        content[start:end] = new
    if draw(st.integers(0, 9)) == 0:
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


def reads_or_refuses(read: Callable[[], object]) -> bool:
    """Return whether a reader accepts its input; one that does not must say so in one sentence.

    Any other exception than a UserError is a failure of the test.
    """
    try:
        read()
    except UserError as error:
        assert_sentence(str(error))
        return False
    return True


def assert_sentence(message: str) -> None:
    """Assert that a message is one line of limited length that a terminal shows as it is."""
    assert message and message == one_line(message)
    assert len(message) <= MAX_SENTENCE, f"{len(message)} characters: {message[:200]}"
