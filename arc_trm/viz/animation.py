"""Animations: how an answer changes from supervision step to supervision step, as GIF or SVG."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import chain, groupby, pairwise
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from arc_trm.evaluation.predictions import InputPrediction
from arc_trm.puzzles import Theme
from arc_trm.viz.figure import GridFigure, TraceFigures, sample_figures, task_title, theme_of
from arc_trm.viz.images import (
    ARROW,
    CROSS_CELL,
    GRID_SIDE,
    SAMPLES_SIDE,
    Style,
    card,
    cell_size,
    draw_grid,
    draw_label,
    draw_size,
    draw_text,
)
from arc_trm.viz.svg import (
    ANIMATION_ENDING,
    Drawing,
    Element,
    Line,
    Rectangle,
    Text,
    centred,
    column,
    fit_text,
    framed,
    row,
    svg_document,
    svg_element,
)
from arc_trm.viz.theme import CHANGED, EDGE, INK, MUTED, PAPER

MAX_FRAMES = 64
MAX_SAMPLES, SAMPLES_IN_ROW = 8, 4
"""Traces of one test input that are drawn, and how many of them side by side."""
FRAME_MS, MIN_FRAME_MS, LAST_FRAME_MS = 500, 200, 3000
"""How long a frame is seen, at least, and the last one."""
LOOP_MS = 12_000
"""Frames are seen for less than `FRAME_MS` where all but the last would take longer than this."""
GIF_SCALE = 1
"""Pixels of a GIF per pixel of a drawing: one that a page need not scale down."""
GIF_COLOURS = 64
BAR_WIDTH, BAR_HEIGHT = 64, 8
GRID_PART = 2
"""Position of the grid among what `_draw_parts` returns."""

Occurrence: TypeAlias = tuple[Element, int]
"""An element of a frame, and how many equal ones are below it."""


@dataclass(frozen=True)
class Animation:
    """Drawings of one size that are shown one after another, again and again.

    Attributes:
        frames: one or more.
        durations: how long each frame is seen, in milliseconds, multiples of 10.
    """

    frames: tuple[Drawing, ...]
    durations: tuple[int, ...]
    endings: ClassVar[tuple[str, ...]] = (".svg", ANIMATION_ENDING)

    def __post_init__(self) -> None:
        if len({(frame.width, frame.height) for frame in self.frames}) != 1:
            raise ValueError("an animation needs one or more frames, all of one size")
        if len(self.durations) != len(self.frames) or min(self.durations) <= 0:
            raise ValueError("each frame of an animation needs a duration of more than 0 ms")

    def gif(self) -> bytes:
        """Return a GIF file of `GIF_COLOURS` colours, which repeats without end."""
        images = [frame.image(GIF_SCALE) for frame in self.frames]
        first, *others = _with_common_palette(images, self._fills())
        file = io.BytesIO()
        first.save(
            file,
            "GIF",
            save_all=True,
            append_images=others,
            duration=list(self.durations),
            loop=0,
            optimize=False,  # or Pillow gives each frame a palette of its own
        )
        return file.getvalue()

    def svg(self, style: str = "") -> str:
        """Return an SVG document that moves by CSS, without a script.

        The last frame is seen where nothing animates and where reduced motion is preferred. An
        element is written once, however many frames show it. Classes have the same names in every
        document, so a page with several of them needs an <img> for each.

        Args:
            style: CSS of the picture as a part of a page.
        """
        last = len(self.frames) - 1
        names: dict[frozenset[int], str] = {frozenset(range(last + 1)): ""}
        lines = []
        for shown_in, group in groupby(self._elements(), key=lambda each: each[1]):
            name = names.setdefault(shown_in, f"f{len(names)}")
            elements = [svg_element(element) for element, _ in group]
            if name:
                hidden = "" if last in shown_in else ' visibility="hidden"'
                elements = [f'<g class="{name}"{hidden}>', *elements, "</g>"]
            lines += elements
        size = self.frames[0]
        rules = [self._css_rule(name, shown_in) for shown_in, name in names.items() if name]
        if rules:
            media = "@media (prefers-reduced-motion: no-preference) {"
            lines = ["<style>", media, *rules, "}", "</style>", *lines]
        return svg_document(size.width, size.height, lines, style)

    def encode(self, ending: str) -> bytes:
        """Return the bytes of a `.gif` or `.svg` file."""
        return self.gif() if ending == ANIMATION_ENDING else self.svg().encode()

    def _elements(self) -> Iterator[tuple[Element, frozenset[int]]]:
        """Yield each element with the frames that show it, in an order that suits all frames."""
        occurrences = [_count_occurrences(frame.elements) for frame in self.frames]
        shown_in: dict[Occurrence, list[int]] = {}
        for number, frame in enumerate(occurrences):
            for each in frame:
                shown_in.setdefault(each, []).append(number)
        try:
            order = _merge(occurrences)
        except CycleError:  # two frames have the same elements in another order
            for number, drawing in enumerate(self.frames):
                yield from ((element, frozenset([number])) for element in drawing.elements)
            return
        for each in order:
            yield each[0], frozenset(shown_in[each])

    def _css_rule(self, name: str, shown_in: frozenset[int]) -> str:
        """Return CSS that shows the class `name` in some frames only."""
        total, start = sum(self.durations), 0
        states = []
        for number, duration in enumerate(self.durations):
            if number == 0 or (number in shown_in) != (number - 1 in shown_in):
                state = "visible" if number in shown_in else "hidden"
                states.append(f"{100 * start / total:.6g}%{{visibility:{state}}}")
            start += duration
        # Without a state at 100 % browsers would take that of the picture that stands still.
        states.append(f"100%{{visibility:{state}}}")
        animation = f"animation:{name} {total}ms step-end infinite"
        return f".{name}{{{animation}}}@keyframes {name}{{{''.join(states)}}}"

    def _fills(self) -> list[tuple[int, int, int]]:
        """Return the colours of the elements but for text, the most frequent first."""
        colours = Counter(
            element.fill if isinstance(element, Rectangle) else element.colour
            for frame in self.frames
            for element in frame.elements
            if not isinstance(element, Text)
        )
        return [_rgb(colour) for colour, _ in colours.most_common()]


def animate_trace(predictions: Sequence[InputPrediction]) -> Animation:
    """Animate how predictions for one task changed from supervision step to supervision step.

    Args:
        predictions: for different test inputs of the task, at least one of them with a trace.
    """
    task = predictions[0].task
    rows = [sample_figures(prediction) for prediction in predictions if prediction.trace]
    return animate_samples(f"{task_title(task)}: the answer step by step", rows, theme_of(task))


def animate_samples(title: str, rows: Sequence[Sequence[TraceFigures]], theme: Theme) -> Animation:
    """Animate how answers changed, those to one test input side by side.

    A frame shows all answers after one supervision step, or after several that changed nothing; an
    answer that stopped earlier keeps its last step. Where that would take more than `MAX_FRAMES`
    frames, steps that only changed halting probabilities have no frame of their own, and then only
    so many steps are shown, evenly chosen, the first and the last one among them.

    Args:
        title: above the picture.
        rows: for each test input the traces of its samples, of which the first `MAX_SAMPLES` with a
            step are drawn. At least one trace has a step.
        theme: how the grids look.
    """
    rows = [stepped for traces in rows if (stepped := [each for each in traces if each.steps])]
    drawn = [[_Trace(trace) for trace in traces[:MAX_SAMPLES]] for traces in rows]
    several = any(len(traces) > 1 for traces in drawn)
    grids = [grid for traces in drawn for trace in traces for grid in trace.figures.grids]
    style = Style(cell_size(grids, SAMPLES_SIDE if several else GRID_SIDE), theme)
    spans, skipped = _choose_spans([trace for traces in drawn for trace in traces])
    notes = [_describe_marks(drawn, style)]
    if skipped:
        notes.append(f"{len(spans)} of {len(spans) + skipped} different steps are shown.")
    hidden = max(len(traces) for traces in rows) - MAX_SAMPLES
    if hidden > 0:
        notes.append(f"The first {MAX_SAMPLES} of {hidden + MAX_SAMPLES} samples are shown.")
    frames = []
    for contents in zip(*(_draw_input(traces, spans, style) for traces in drawn), strict=True):
        width = max(content.width for content in contents)
        cards = [card(centred(content, width, content.height)) for content in contents]
        heading = draw_text(fit_text(title, 18, max(240, cards[0].width)), 18, INK)
        legend = column([draw_text(note, 11, MUTED) for note in notes], 4)
        frames.append(framed(column([heading, *cards, legend], 14), 20, PAPER))
    return Animation(tuple(frames), _durations(len(frames)))


class _Trace:
    """A trace with its steps one by one; a step after the last one is the last one."""

    def __init__(self, figures: TraceFigures) -> None:
        self.figures = figures
        self.steps = [
            (number, step.figure, halt_prob)
            for number, step in enumerate(figures.steps)
            for halt_prob in step.halt_probs
        ]

    def prediction(self, step: int) -> int:
        """Return the number of the prediction after a step, from 0; a change gives the next."""
        return self._at(step)[0]

    def figure(self, step: int) -> GridFigure:
        return self._at(step)[1]

    def halt_prob(self, step: int) -> float:
        return self._at(step)[2]

    def halt_text(self, step: int) -> str:
        return f"halt {100 * self.halt_prob(step):.0f} %"

    def label(self, span: range) -> str:
        """Return `Steps 3 to 5 of 16`: the font has no dash."""
        first, last = (min(step, len(self.steps)) for step in (span[0], span[-1]))
        numbers = f"Step {last}" if first == last else f"Steps {first} to {last}"
        return f"{numbers} of {len(self.steps)}"

    def changes(self, before: int, after: int) -> list[tuple[int, int]]:
        """Return rows and columns, from 0, of the cells that changed from one step to another.

        Cells by which a grid has grown are among them; without a grid before there are none.
        """
        old, new = self.figure(before).grid, self.figure(after).grid
        if old is None or new is None:
            return []
        height, width = np.minimum(old.shape, new.shape)
        changed = np.ones(new.shape, np.bool_)
        changed[:height, :width] = old[:height, :width] != new[:height, :width]
        return [(y, x) for y, x in np.argwhere(changed).tolist()]

    def _at(self, step: int) -> tuple[int, GridFigure, float]:
        return self.steps[min(step, len(self.steps)) - 1]


def _draw_input(traces: Sequence[_Trace], spans: Sequence[range], style: Style) -> list[Drawing]:
    """Draw for each frame the traces for one test input, between it and the known output."""
    figures = traces[0].figures
    samples = [_draw_sample(trace, spans, style) for trace in traces]
    ends = [_draw_parts(each, style) for each in (figures.input, figures.output) if each]
    # Everything stays at its place from frame to frame, and grids are beside one another.
    parts = [*ends, *chain.from_iterable(samples)]
    heights = [max(part.height for part in column) for column in zip(*parts, strict=True)]
    width = max(part.width for state in chain.from_iterable(samples) for part in state)
    question, *output = (_stack(parts, heights) for parts in ends)
    frames = []
    for states in zip(*samples, strict=True):
        placed = [_stack(parts, heights, width) for parts in states]
        per_line = math.ceil(len(placed) / math.ceil(len(placed) / SAMPLES_IN_ROW))
        starts = range(0, len(placed), per_line)
        lines = column([row(placed[start : start + per_line], 20) for start in starts], 20)
        frames.append(row([question, ARROW, lines, *output], 20))
    return frames


def _draw_sample(trace: _Trace, spans: Sequence[range], style: Style) -> list[list[Drawing]]:
    """Draw for each frame the parts of a trace."""
    states = []
    for before, span in zip([None, *spans], spans, strict=False):
        step = span[-1]
        parts = _draw_parts(replace(trace.figure(step), label=trace.label(span)), style)
        grid = parts[GRID_PART]
        if before is not None:
            rings = (_ring(y, x, style) for y, x in trace.changes(before[-1], step))
            parts[GRID_PART] = Drawing(grid.width, grid.height, (*grid.elements, *rings))
        if trace.figures.title:
            parts[0] = draw_text(fit_text(trace.figures.title, 13, SAMPLES_SIDE), 13, MUTED)
        parts[-1] = _draw_halt(trace, step)
        states.append(parts)
    return states


def _draw_parts(figure: GridFigure, style: Style) -> list[Drawing]:
    """Draw a title, a label, a grid, its size and a halting probability; the ends are empty."""
    nothing = Drawing(0, 0)
    return [nothing, draw_label(figure), draw_grid(figure, style), draw_size(figure), nothing]


def _stack(parts: Sequence[Drawing], heights: Sequence[float], width: float = 0) -> Drawing:
    """Place parts of given heights below one another, centred; those of no height are left out."""
    width = max(width, *(part.width for part in parts))
    sizes = zip(parts, heights, strict=True)
    return column([centred(part, width, height) for part, height in sizes if height], 6)


def _draw_halt(trace: _Trace, step: int) -> Drawing:
    """Draw the halting probability after a step as a bar and a number."""
    text = draw_text(trace.halt_text(step), 11, MUTED)
    widest = draw_text("halt 100 %", 11, MUTED).width
    bar = [Rectangle(0, 0, BAR_WIDTH, BAR_HEIGHT, EDGE)]
    if filled := round(BAR_WIDTH * trace.halt_prob(step)):
        bar.append(Rectangle(0, 0, filled, BAR_HEIGHT, CHANGED))
    number = Drawing(widest, text.height, text.elements)
    return row([Drawing(BAR_WIDTH, BAR_HEIGHT, tuple(bar)), number], 6)


def _ring(row: int, column: int, style: Style) -> Line:
    """Return the frame of a changed cell, which lies within its edge."""
    width = 2 if style.cell >= CROSS_CELL else 1
    near, far = 1 + width / 2, style.cell - width / 2
    corners = ((near, near), (far, near), (far, far), (near, far), (near, near), (far, near))
    points = tuple((column * style.cell + x, row * style.cell + y) for x, y in corners)
    return Line(points, CHANGED if style.theme.symbols else "#FFFFFF", width)


def _describe_marks(rows: Sequence[Sequence[_Trace]], style: Style) -> str:
    """Return what the marks of cells mean."""
    symbols = bool(style.theme.symbols)
    text = f"{'Blue' if symbols else 'White'} frame: changed"
    figures = (step.figure for traces in rows for each in traces for step in each.figures.steps)
    if any(figure.wrong_cells for figure in figures):
        mark = "cross" if style.cell >= CROSS_CELL else "square"
        text += f"; {'red frame' if symbols else mark}: wrong"
    return f"{text}."


def _choose_spans(traces: Sequence[_Trace]) -> tuple[list[range], int]:
    """Return the steps, from 1, that each frame stands for, and the number of changes left out."""
    steps = range(1, max(len(trace.steps) for trace in traces) + 1)
    spans: list[range] = []
    for with_halt in (True, False):
        shown = [
            [(trace.prediction(step), with_halt and trace.halt_text(step)) for trace in traces]
            for step in steps
        ]
        starts = [step for step in steps if step == 1 or shown[step - 1] != shown[step - 2]]
        spans = [range(start, end) for start, end in pairwise([*starts, steps.stop])]
        if len(spans) <= MAX_FRAMES:
            return spans, 0
    chosen = np.linspace(0, len(spans) - 1, MAX_FRAMES).round().astype(int).tolist()
    return [spans[index] for index in chosen], len(spans) - MAX_FRAMES


def _durations(frames: int) -> tuple[int, ...]:
    """Return how long each frame is seen, in milliseconds."""
    usual = min(max(LOOP_MS // frames // 10 * 10, MIN_FRAME_MS), FRAME_MS)
    return (*[usual] * (frames - 1), LAST_FRAME_MS)


def _count_occurrences(elements: Sequence[Element]) -> list[Occurrence]:
    counts: Counter[Element] = Counter()
    occurrences = []
    for element in elements:
        occurrences.append((element, counts[element]))
        counts[element] += 1
    return occurrences


def _merge(sequences: Sequence[Sequence[Occurrence]]) -> list[Occurrence]:
    """Return each item once, in an order that keeps that of every sequence.

    What follows one another in a sequence stays together where it can.

    Raises:
        CycleError: there is no such order.
    """
    sorter: TopologicalSorter[Occurrence] = TopologicalSorter()
    for sequence in sequences:
        for item in sequence[:1]:
            sorter.add(item)
        for before, after in pairwise(sequence):
            sorter.add(after, before)
    sorter.prepare()
    waiting: list[Occurrence] = []
    order = []
    while sorter.is_active():
        waiting += sorter.get_ready()
        order.append(waiting.pop())
        sorter.done(order[-1])
    return order


def _with_common_palette(
    images: Sequence[Image.Image], first: Sequence[tuple[int, int, int]]
) -> list[Image.Image]:
    """Return images of `GIF_COLOURS` colours, the same in all of them.

    Args:
        images: RGB.
        first: colours that stay as they are; the others are those of the most pixels.
    """
    counts: Counter[Any] = Counter()  # the colours of RGB images are three numbers
    for image in images:
        for count, colour in image.getcolors(image.width * image.height) or ():
            counts[colour] += count
    frequent = sorted(counts, key=lambda colour: (-counts[colour], colour))
    kept = [colour for colour in dict.fromkeys([*first, *frequent]) if colour in counts]
    palette = np.array(kept[:GIF_COLOURS])
    nearest = np.zeros(1 << 24, np.uint8)
    colours = np.array(frequent)
    for start in range(0, len(colours), 1000):
        part = colours[start : start + 1000]
        distances = ((part[:, None] - palette) ** 2).sum(-1)
        nearest[_pack(part)] = distances.argmin(1)
    flat = palette.astype(np.uint8).tobytes()
    return [_indexed(nearest[_pack(np.asarray(image, np.int64))], flat) for image in images]


def _indexed(indices: npt.NDArray[np.uint8], palette: bytes) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette(palette)
    return image


def _pack(colours: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return RGB colours (..., 3) as single numbers."""
    packed: npt.NDArray[np.int64] = colours @ np.array([1 << 16, 1 << 8, 1])
    return packed


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
