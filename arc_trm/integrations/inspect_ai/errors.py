"""User errors as inspect_ai prints them: one sentence without a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from inspect_ai._util.error import PrerequisiteError  # it has no public name

from arc_trm.errors import UserError


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise inspect_ai's own kind of error for a UserError."""
    try:
        yield
    except UserError as error:
        # It is printed as rich markup, in which `[@revision]` would be a style.
        sentence = re.sub(r"\[(?=[a-z#/@])", r"\\[", str(error))
        raise PrerequisiteError(sentence) from None
