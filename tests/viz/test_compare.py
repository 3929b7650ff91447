"""Several runs side by side: their groups, values, differences and curves."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from drawings import assert_inside, overlap, texts_of
from made_up_runs import make_run, write_metrics

from arc_trm.errors import UserError
from arc_trm.io import write_json
from arc_trm.runs.provenance import FORMAT, PROVENANCE
from arc_trm.viz import compare_runs, to_html
from arc_trm.viz.compare import COLOURS, direction
from arc_trm.viz.curve import faint
from arc_trm.viz.svg import Line, Text


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_seeds(name: str, values: list[float], *settings: str) -> list[Path]:
    """Make a run for each best value, with the seeds 0, 1, ..."""
    return [
        make_run(Path(f"{name}-{seed}"), [value / 2, value, value / 4], seed, settings=settings)
        for seed, value in enumerate(values)
    ]


ADAMW, MUON = "train.optimiser='adamw'", "train.optimiser='muon'"


def test_seeds_of_the_same_settings_are_a_group() -> None:
    found = compare_runs([*make_seeds("a", [0.5, 0.75], ADAMW), *make_seeds("m", [0.25], MUON)])
    assert [each.label for each in found.groups] == [
        "train.optimiser=adamw",
        "train.optimiser=muon",
    ]
    adamw, muon = found.groups
    assert [each.seed for each in adamw.runs] == [0, 1]
    assert (adamw.mean, adamw.range, muon.mean) == (0.625, (0.5, 0.75), 0.25)
    assert [each.step for each in found.runs] == [66, 66, 66]
    assert (
        found.summary
        == "eval/exact: of validation puzzles, averaged weights; best of 3 evaluations"
    )
    text = "train.optimiser=adamw: mean 62.5 %, 50 % to 75 %, 2 seeds"
    assert found.describe_group(adamw) == text
    assert found.describe_group(muon) == "train.optimiser=muon: 25 %"


def test_the_order_of_runs_and_seeds_does_not_split_groups() -> None:
    a, m = make_seeds("a", [0.5, 0.75], ADAMW), make_seeds("m", [0.25, 0.5], MUON)
    found = compare_runs([m[1], a[0], m[0], a[1]])
    assert [[each.run.path for each in group.runs] for group in found.groups] == [
        [m[1], m[0]],
        [a[0], a[1]],
    ]


@pytest.mark.parametrize(
    ("first", "second", "overlap_expected", "chance"),
    [
        ([0.5, 0.6], [0.6, 0.7], True, 2 / 6),  # they touch
        ([0.5, 0.6], [0.55, 0.56], True, 2 / 6),  # one is within the other
        ([0.5, 0.6, 0.55], [0.7, 0.8, 0.61], False, 2 / 20),
        ([0.5, 0.6], [0.4, 0.45, 0.3], False, 2 / 10),
        ([0.5], [0.9, 0.95], None, None),
    ],
)
def test_ranges_that_overlap_are_no_difference(
    first: list[float], second: list[float], overlap_expected: bool | None, chance: float | None
) -> None:
    runs = [*make_seeds("a", first, ADAMW), *make_seeds("m", second, MUON)]
    found = compare_runs(runs)
    (difference,) = found.differences
    assert (difference.overlap, difference.chance) == (overlap_expected, chance)
    means = [sum(values) / len(values) for values in (first, second)]
    assert difference.value == pytest.approx(means[1] - means[0])
    (sentence,) = found.sentences()
    assert ("no clear difference" in sentence) == (overlap_expected is True)
    assert ("do not overlap" in sentence) == (overlap_expected is False)
    assert ("Of one seed alone" in sentence) == (overlap_expected is None)


def test_the_sentence_on_a_difference() -> None:
    runs = [*make_seeds("a", [0.5, 0.6], ADAMW), *make_seeds("m", [0.3, 0.4], MUON)]
    found = compare_runs(runs)
    (sentence,) = found.sentences()
    assert sentence == (
        "train.optimiser=muon against train.optimiser=adamw: −20 points, the ranges do not overlap "
        "(chance alone does that in 33 % of cases)."
    )
    assert str(found).splitlines()[1:] == [*map(found.describe_group, found.groups), sentence]


def test_equal_seeds_of_equal_settings_stay_alone() -> None:
    runs = [make_run(Path(name), [0.5], seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    found = compare_runs(runs)
    assert [len(group.runs) for group in found.groups] == [1, 1, 1]
    assert [group.label for group in found.groups] == [f"maze-quick, {run}" for run in runs]
    assert "a, b, c have the settings and the seed of another one of these runs" in found.notes[0]


def test_a_group_of_seeds_alone_is_named_after_its_preset() -> None:
    found = compare_runs(make_seeds("a", [0.5, 0.75], "train.lr=0.5"))
    (group,) = found.groups
    assert group.label == "maze-quick with train.lr=0.5"
    assert found.sentences() == []


def test_other_presets_are_named_with_their_changes() -> None:
    runs = [
        make_run(Path("a"), [0.5]),
        make_run(Path("b"), [0.5], preset="quickstart", settings=["train.lr=0.5"]),
    ]
    labels = [group.label for group in compare_runs(runs).groups]
    assert labels == ["maze-quick", "quickstart with train.lr=0.5"]


def test_many_settings_are_counted() -> None:
    changes = ["train.lr=0.5", "train.weight_decay=0.5", "train.ema_decay=0.5", "train.max_steps=7"]
    runs = [make_run(Path("a"), [0.5]), make_run(Path("b"), [0.5], settings=changes)]
    second = compare_runs(runs).groups[1]
    assert second.label.endswith(" and 1 more") and second.label.count("=") == 3
    assert set(second.settings) == {change.partition("=")[0] for change in changes}


LIMITED = ["train.time_limit=60.0"]


def planned(steps: int, warmup: int, horizon: float) -> list[str]:
    decay = 1 - 1 / horizon
    schedule = {"total_steps": steps, "warmup_steps": warmup, "ema_decay": decay}
    return LIMITED + [f"train.{key}={value}" for key, value in schedule.items()]


@pytest.mark.parametrize(
    ("first", "second", "groups"),
    [
        (planned(1000, 100, 100), planned(1200, 120, 120), 1),
        (planned(1000, 50, 100), planned(1000, 50, 100), 1),
        (planned(319, 51, 100), planned(322, 52, 101), 1),  # rounded to whole steps
        (planned(1000, 100, 100), planned(1000, 50, 100), 2),
        (planned(1000, 100, 100), planned(1000, 100, 50), 2),
        (planned(1000, 100, 100)[1:], planned(1200, 120, 120)[1:], 2),
        (planned(1000, 100, 100)[1:], planned(1200, 120, 120), 2),
    ],
)
def test_what_a_time_limit_planned_is_no_difference(
    first: list[str], second: list[str], groups: int
) -> None:
    runs = [
        make_run(Path(name), [0.5], seed, settings=settings)
        for seed, (name, settings) in enumerate((("a", first), ("b", second)))
    ]
    assert len(compare_runs(runs).groups) == groups


def write_provenance(run: Path, *entries: dict[str, object]) -> Path:
    write_json(run / PROVENANCE, {"format": FORMAT, "entries": list(entries), "ended": None})
    return run


ONE: dict[str, object] = {"source_digest": "1" * 64, "source": None}
EDITED: dict[str, object] = {"source_digest": "1" * 64, "source": "source-abcdabcd.zip"}


def test_other_code_is_no_seed_of_the_same_settings() -> None:
    runs = [make_run(Path(name), [0.5], n % 2) for n, name in enumerate("abcdef")]
    for run, entry in zip(runs, (ONE, ONE, EDITED, EDITED), strict=False):
        write_provenance(run, entry)
    found = compare_runs(runs[:4])
    assert [group.label for group in found.groups] == ["code=11111111", "code=abcdabcd"]
    assert [len(group.runs) for group in found.groups] == [2, 2]
    assert [group.settings for group in found.groups] == [
        {"code": "11111111"},
        {"code": "abcdabcd"},
    ]
    resumed = write_provenance(runs[4], ONE, EDITED)
    labels = [group.label for group in compare_runs([runs[0], resumed]).groups]
    assert labels == ["code=11111111", "code=11111111, abcdabcd"]
    unknown = runs[5]
    assert len(compare_runs([runs[0], unknown]).groups) == 1


@pytest.mark.parametrize("entries", [[], [{}], [{"source": [], "source_digest": {"x": 1}}]])
def test_hostile_provenance_does_not_matter(entries: list[dict[str, object]]) -> None:
    runs = [make_run(Path(name), [0.5], seed) for seed, name in enumerate("ab")]
    write_provenance(runs[0], *entries)
    assert compare_runs(runs).runs[0].value == 0.5


def test_times_of_different_machines_are_told_apart() -> None:
    runs = [make_run(Path(name), [0.5], seed) for seed, name in enumerate("abc")]
    for run, device in zip(runs, ("cpu", "cpu", "GPU"), strict=True):
        write_provenance(run, {"device": device, "processes": 1, "cpu": "a CPU"})
    assert compare_runs(runs[:2]).notes == []
    assert compare_runs(runs).notes == [
        "Times of different machines are not comparable: GPU × 1 with a CPU, cpu × 1 with a CPU"
    ]


# Metrics


def test_the_default_metric_is_one_that_all_have() -> None:
    arc = [make_run(Path(f"arc{n}"), [0.5], n, metric="eval/pass_at_2") for n in range(2)]
    exact = make_run(Path("exact"), [0.5], 3)
    none = make_run(Path("none"), seed=4)
    assert compare_runs(arc).metric == "eval/pass_at_2"
    assert compare_runs([exact, none]).metric == "train/exact_of_halted"
    assert compare_runs([*arc, none]).metric == "train/exact_of_halted"
    loss = [
        write_metrics(make_run(Path(name)), [{"step": 1, "train/lm_loss": 2.0, "train/halted": 0}])
        for name in ("x", "y")
    ]
    assert compare_runs(loss).metric == "train/lm_loss"


@pytest.mark.parametrize(
    ("metric", "best", "value", "step"),
    [
        ("train/lm_loss", "lowest", 0.05, 100),
        ("train/exact_of_halted", "best", 0.5, 100),
        ("train/lr", "last", 0.001, 100),
        ("train/seconds", "last", 50, 100),
    ],
)
def test_the_value_of_a_metric(metric: str, best: str, value: float, step: int) -> None:
    runs = [make_run(Path(name), [0.5], seed) for seed, name in enumerate("ab")]
    found = compare_runs(runs, metric)
    assert found.value_name == best
    assert [(each.value, each.step) for each in found.runs] == [(pytest.approx(value), step)] * 2


def test_the_step_of_the_best_value_is_that_of_the_best_checkpoint() -> None:
    records = [
        {"step": step, "eval/puzzles": 8.0, "eval/exact": 0.0, "eval/cell_accuracy": cells}
        for step, cells in ((1, 0.25), (2, 0.75), (3, 0.5))
    ]
    runs = [write_metrics(make_run(Path(name), seed=n), records) for n, name in enumerate("ab")]
    assert [each.step for each in compare_runs(runs, "eval/exact").runs] == [2, 2]


def test_which_value_of_a_metric_is_best() -> None:
    assert direction("eval/halt_calibration_error") == "lowest"
    assert direction("eval/valid") == direction("train/halt_accuracy_of_halted") == "highest"
    assert direction("train/halted_share") is direction("eval/halt_step") is None


@pytest.mark.parametrize(
    ("names", "metric", "message"),
    [
        ([], None, r"name two runs or more to compare; `arc-trm show RUN` shows one"),
        (["a"], None, r"name two runs or more to compare; `arc-trm show a` shows one"),
        (["a", "gone"], None, r"gone is not a run folder"),
        (["a", "a/../a"], None, r"a is named more than once"),
        (["a", "empty"], None, r"empty has no metrics yet"),
        (["a", "b"], "eval/exakt", r'no metric "eval/exakt"; did you mean "eval/exact"\?'),
        (["a", "b"], "step", r'no metric "step"'),
        (["a", "none"], "eval/exact", r"none has no eval/exact; all have train/.*train/lm_loss"),
        (["a", "odd"], None, r"no metric in common"),
        (["a", "nan"], "eval/exact", r"nan has no eval/exact"),
    ],
)
def test_mistakes(names: list[str], metric: str | None, message: str) -> None:
    for number, name in enumerate(("a", "b", "none", "empty", "odd", "nan")):
        make_run(Path(name), [] if name == "none" else [0.5], number)
    write_metrics(Path("empty"), [])
    write_metrics(Path("odd"), [{"step": 1, "other": 2.0}])
    write_metrics(Path("nan"), [{"step": 1, "eval/exact": float("nan"), "train/lm_loss": 1.0}])
    with pytest.raises(UserError, match=message):
        compare_runs(names, metric)


def test_runs_without_their_time_have_no_curve_over_it() -> None:
    runs = [make_run(Path("a"), [0.5]), make_run(Path("b"), [0.5], 1, seconds=False)]
    with pytest.raises(UserError, match="b does not say how long it was trained: use --x step"):
        compare_runs(runs, x="seconds")
    assert [each.seconds for each in compare_runs(runs).runs] == [50, None]


# Notes


def test_evaluations_of_different_numbers_of_puzzles_are_told() -> None:
    runs = [
        make_run(Path(n), [0.5], puzzles=p, settings=[f"train.lr={p}"])
        for n, p in (("a", 100), ("b", 1200))
    ]
    assert compare_runs(runs).notes == [
        "The evaluations are of different numbers of puzzles: 100 to 1,200"
    ]
    assert compare_runs(runs, "train/lm_loss").notes == []


def test_other_data_are_told() -> None:
    runs = [
        make_run(Path("a"), [0.5]),
        make_run(Path("b"), [0.5], settings=["data.train_puzzles=7"]),
    ]
    (note,) = compare_runs(runs).notes
    assert note.startswith("The runs differ in data.train_puzzles: ")


# Pictures


def lines(elements: object, colour: str) -> list[Line]:
    assert isinstance(elements, tuple)
    found = [e for e in elements if isinstance(e, Line) and e.colour == colour]
    return [line for line in found if len(line.points) > 2]


def test_the_curves_of_groups_are_their_means_and_seeds() -> None:
    runs = [*make_seeds("a", [0.4, 0.8], ADAMW), *make_seeds("m", [0.2], MUON)]
    drawing = compare_runs(runs).draw()
    mean, loss = lines(drawing.elements, COLOURS[0])
    seeds = lines(drawing.elements, faint(COLOURS[0]))
    assert len(seeds) == 4 and len(lines(drawing.elements, COLOURS[1])) == 2
    heights = [[y for _, y in line.points] for line in (mean, *seeds[:2])]
    assert heights[0] == pytest.approx(
        [(a + b) / 2 for a, b in zip(*heights[1:], strict=True)], abs=0.02
    )
    texts = texts_of(drawing.svg())
    assert {
        "maze-quick, 3 runs",
        "train.optimiser=adamw: mean and each of 2 seeds",
        "train.optimiser=muon",
        "train/lm_loss: loss per training example",
    } <= set(texts)
    assert len(loss.points) > 3


@pytest.mark.parametrize(
    ("seconds", "label", "last"),
    [(40, "seconds", 40), (4000, "minutes", 60), (40_000, "hours", 10)],
)
def test_curves_over_time(seconds: float, label: str, last: int) -> None:
    runs = []
    for seed, name in enumerate("ab"):
        records = [
            {"step": n, "train/lm_loss": 1.0 / n, "train/seconds": seconds * n / 20}
            for n in range(1, 21)
        ]
        runs.append(write_metrics(make_run(Path(name), seed=seed), records))
    drawing = compare_runs(runs, x="seconds").draw()
    texts = texts_of(drawing.svg())
    assert f"Training time in {label}" in texts and str(last) in texts


@pytest.mark.parametrize("count", [2, 8])
def test_pictures_of_many_runs_are_whole(count: int) -> None:
    runs = [
        make_run(
            Path(f"a-rather-long-name-of-a-run-{n}"), [n / 9, n / 8], settings=[f"train.lr={n + 1}"]
        )
        for n in range(count)
    ]
    drawing = compare_runs(runs).draw()
    assert_inside(drawing)
    texts = [e for e in drawing.elements if isinstance(e, Text)]
    for one, other in itertools.combinations(texts, 2):
        assert not overlap(one.box, other.box), (one, other)


def test_more_settings_than_colours_have_no_picture() -> None:
    runs = [make_run(Path(f"r{n}"), [0.5], settings=[f"train.lr={n + 1}"]) for n in range(9)]
    found = compare_runs(runs)
    with pytest.raises(UserError, match="a picture tells 8 settings apart, and these are 9"):
        found.draw()
    html = to_html(found)
    assert "<svg" not in html and "train.lr=9" in html


def test_a_notebook_shows_values_and_curves() -> None:
    found = compare_runs([*make_seeds("a", [0.5, 0.6], ADAMW), *make_seeds("m", [0.3, 0.4], MUON)])
    html = found._repr_html_()
    assert html is not None and "<svg" in html
    assert "mean 55 %, 50 % to 60 %, 2 seeds" in html and "the ranges do not overlap" in html


def test_hostile_records_are_compared_as_far_as_they_can_be() -> None:
    hostile = [
        {
            "step": 5,
            "eval/exact": float("inf"),
            "eval/puzzles": float("nan"),
            "train/seconds": 1e300,
        },
        {"step": -3, "eval/exact": 1e99, "eval/puzzles": -1.0},
        {"step": 10**15, "eval/exact": 0.5, "train/lm_loss": 0.0},
        {"step": 9, "eval/exact": 0.5, "eval/puzzles": 1e50},
        {
            "step": 7,
            "eval/exact": 0.25,
            "train/lm_loss": -1e99,
            "train/examples_per_second": float("nan"),
        },
    ]
    runs = [
        write_metrics(make_run(Path(name), seed=seed), hostile) for seed, name in enumerate("ab")
    ]
    found = compare_runs(runs)
    assert_inside(found.draw())
    json.dumps(found.to_json(), allow_nan=False)
    assert [each.step for each in found.runs] == [-3, -3] and found.notes == []
    with pytest.raises(UserError, match="a does not say how long it was trained"):
        compare_runs(runs, x="seconds")
