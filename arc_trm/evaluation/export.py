"""Write predictions in the formats of other tools."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from arc_trm.evaluation.source import PredictionSource
from arc_trm.io import write_json
from arc_trm.runs import check_output
from submission import FormatError, Provenance, Ranked, to_submission, write_arcprize


def export_predictions(
    source: PredictionSource,
    file_format: str,
    out: Path,
    model: str | None = None,
    overwrite: bool = False,
) -> Ranked:
    """Write predictions as a folder of ARC Prize's benchmarking or as a submission.

    Args:
        source: of the predictions.
        file_format: `arcprize` or `submission`.
        out: the folder or file to write.
        model: name of the model in a folder's metadata; None is the one that the source names.
        overwrite: replace what exists at `out`, a file or a folder of the same format.

    Returns:
        The attempts that were written.

    Raises:
        UserError: the kind of puzzle has no submissions, or the attempts cannot be written.
    """
    source.kind.require_submission(f"--format {file_format}", str(source.path))
    ranked = source.attempts()
    try:
        if file_format == "arcprize":
            write_arcprize(out, ranked, _provenance(source, model), overwrite)
        else:
            check_output(out, overwrite)
            write_json(out, to_submission(ranked))
    except FormatError as error:
        if error.path is not None:  # of what is at `out`, not of the predictions
            raise
        raise FormatError(error.problems, source.path) from None
    return ranked


def _provenance(source: PredictionSource, model: str | None) -> Provenance:
    """Return the provenance; a file without a start time has that of its last change."""
    ended_at = datetime.fromtimestamp(source.path.stat().st_mtime, UTC)
    try:
        started_at = datetime.fromisoformat(str(source.metadata.get("started_at"))).astimezone(UTC)
    except (ValueError, OverflowError):
        started_at = ended_at
    return Provenance(
        model or source.name,
        "arc-trm" if source.made_by is not None else "unknown",
        min(started_at, ended_at),
        ended_at,
        {"data": source.data_names} if source.data_names else {},
    )
