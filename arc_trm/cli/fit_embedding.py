"""`arc-trm fit-embedding`."""

from __future__ import annotations

import click

from arc_trm.cli.options import checkpoint_option, json_option, output, weights_argument


@click.command("fit-embedding")
@weights_argument
@checkpoint_option
@json_option
def fit_embedding(weights: str | None, checkpoint: str | None, as_json: bool) -> None:
    """Measure how much of a puzzle embedding is known structure.

    WEIGHTS have a table: a row for each augmented task. Its rows are fitted by least squares by a
    vector for each task; with one for each symmetry, which all tasks share; and with one for each
    image of each colour. The last fit gives each task symmetries and images of its own, which is
    the most that a composed puzzle embedding could explain. The share of the variance that a fit
    explains grows with its number of vectors; "adjusted" takes off what as many random vectors
    would explain. WEIGHTS is a run, a weights folder or a name on the Hub; default: the latest run.

    \b
    Examples:
      arc-trm convert step_518071 weights --published-set arc1concept-aug1000
      arc-trm fit-embedding weights
    """
    from arc_trm import pipeline

    result = pipeline.fit_embedding(weights, checkpoint=checkpoint, show_progress=True)
    output(result.to_dict(), result.lines(), as_json)
