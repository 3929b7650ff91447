"""A user's mistakes as inspect_ai shows them: a sentence without a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from inspect_ai._util.error import PrerequisiteError

from arc_trm.errors import UserError


@contextmanager
def told() -> Iterator[None]:
    """Raises inspect_ai's own kind of mistake for each of ours; it has no public name."""
    try:
        yield
    except UserError as error:
        # It is printed as rich markup, which would take `[@revision]` for a style.
        sentence = re.sub(r"\[(?=[a-z#/@])", r"\\[", str(error))
        raise PrerequisiteError(sentence) from None
