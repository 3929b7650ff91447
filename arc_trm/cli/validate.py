"""`arc-trm validate`: that of `submission`, with a word on answers that are of no such format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from arc_trm.runs import PREDICTIONS, SUBMISSION
from submission.__main__ import validate_command


def _validate(file: str, **options: Any) -> None:
    from arc_trm.errors import UserError
    from arc_trm.evaluation.source import is_log, kind_of
    from arc_trm.puzzles import ARC, DOMAINS

    path = Path(file)
    log = path / PREDICTIONS if path.is_dir() and not (path / SUBMISSION).is_file() else path
    if is_log(log) and log.is_file() and (kind := kind_of(log)) != ARC.name:
        raise UserError(
            f"validating is for ARC, but {file} answers {DOMAINS[kind].title}: `arc-trm score` "
            "says how many of these are valid"
        )
    assert validate_command.callback is not None
    validate_command.callback(file, **options)


validate = click.Command(
    "validate", callback=_validate, params=validate_command.params, help=validate_command.help
)
