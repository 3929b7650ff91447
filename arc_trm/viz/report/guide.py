"""What the words on the page mean, for readers who see such a page for the first time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arc_trm.puzzles import kind_of
from arc_trm.viz.report.entry import Entry
from arc_trm.viz.report.markup import text


def guide(entries: Sequence[Entry]) -> str:
    """Return the words that a page on these predictions has, each with its meaning."""
    terms = "".join(
        f"<div><dt>{text(term)}</dt><dd>{text(meaning)}</dd></div>"
        for term, meaning in _terms(entries)
    )
    return (
        '<details class="guide"><summary>How to read this page</summary>'
        f'<dl class="terms">{terms}</dl></details>'
    )


def _terms(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    kind = kind_of(entries[0].predictions.tasks)
    numbered, noun, compared = kind.theme.numbered, kind.noun, len(entries) > 1
    scored = any(entry.score is not None for entry in entries)
    if numbered:
        yield (
            "Task",
            "Demonstrations, pairs of an input and its output, show a rule. The output of each "
            "test input is to be found by that rule, in two attempts.",
        )
    if numbered and scored:
        yield (
            "pass@1, pass@2",
            "The share that is solved by the first attempt, or by one of two. Every cell has to be "
            "right.",
        )
    if scored:
        yield (
            "95 % interval",
            f"On all {noun}s of this kind, of which these are a sample, the rate is probably "
            "within this interval. Other seeds may be farther away.",
        )
    if compared:
        yield "Gained, lost", f"B solves more of a {noun} than A, or less."
        yield (
            "Sign test",
            "p is how often two equally good sets of predictions would gain and lose at least so "
            "unevenly.",
        )
    elif scored:
        late = ", or right at the second attempt" if numbered else ""
        yield "Close call", f"A {noun} that is nearly right{late}."
    if any(each.candidates for entry in entries for each in entry.predictions):
        if numbered:
            yield (
                "Vote, candidate",
                "The model predicts each task in several augmentations: turned, mirrored, "
                "recoloured. Each prediction is a vote, equal predictions are a candidate. The "
                "first two candidates are the attempts.",
            )
        yield "Supervision step", "One of the rounds in which the model improves its prediction."
        yield "Halting probability", "How sure the model is that its prediction is right."
    if any(entry.guessed for entry in entries):
        yield (
            "Guess",
            "A test input for which the model predicted no grid. Its attempts were made without "
            "the model.",
        )
