"""The grid: 1 to 30 rows of 1 to 30 integers 0 to 9, a list of equally long lists."""

from __future__ import annotations

from typing import TypeAlias

from submission.errors import Problem, format_value, pluralise

Grid: TypeAlias = list[list[int]]

MAX_SIDE = 30
_COLOURS = frozenset(range(10))
_INTEGERS = {int}


def grid_problems(grid: object, place: str = "") -> list[Problem]:
    """List what is wrong with a grid: at most one problem per row.

    A cell must be of the type int exactly. JSON Schema also accepts 1.0 as an integer; this check
    rejects floats, booleans and NumPy's integers.

    Args:
        grid: anything.
        place: where the grid is, for the problems' places.

    Returns:
        The problems, none if the grid is valid.
    """
    if not isinstance(grid, list):
        return [Problem(place, f"is {format_value(grid)}, expected a grid (a list of rows)")]
    problems = []
    if not 1 <= len(grid) <= MAX_SIDE:
        message = f"has {pluralise(len(grid), 'row')}, expected 1 to {MAX_SIDE}"
        problems.append(Problem(place, message))
    width = first = 0  # width and number of the first row with a valid width
    for number, row in enumerate(grid[:MAX_SIDE], 1):
        if not isinstance(row, list):
            message = f"is {format_value(row)}, expected a list of cells"
        elif not 1 <= len(row) <= MAX_SIDE:
            message = f"has {pluralise(len(row), 'cell')}, expected 1 to {MAX_SIDE}"
        elif width and len(row) != width:
            message = f"has {pluralise(len(row), 'cell')}, expected {width} as in row {first}"
        else:
            if not width:
                width, first = len(row), number
            # Types first: integers are hashable.
            if set(map(type, row)) == _INTEGERS and _COLOURS.issuperset(row):
                continue
            message = _bad_cells_message(row)
        where = f"{place}, row {number}" if place else f"row {number}"
        problems.append(Problem(where, message))
    return problems


def _bad_cells_message(row: list[object]) -> str:
    """Describe the first bad cell of a row and count the others."""
    bad = [
        (number, cell)
        for number, cell in enumerate(row, 1)
        if type(cell) is not int or cell not in _COLOURS
    ]
    number, cell = bad[0]
    message = f"cell {number} is {format_value(cell)}, expected an integer 0 to 9"
    if len(bad) > 1:
        message += f" ({pluralise(len(bad) - 1, 'more such cell')} in this row)"
    return message
