"""The grid: 1 to 30 rows of 1 to 30 integers 0 to 9, a list of equally long lists."""

from __future__ import annotations

from typing import TypeAlias

from submission.errors import Problem, counted, shown

Grid: TypeAlias = list[list[int]]

MAX_SIDE = 30
_COLOURS = frozenset(range(10))
_INTEGERS = {int}


def grid_problems(grid: object, place: str = "") -> list[Problem]:
    """What keeps `grid` from being a grid: at most one problem per row, none if it is one.

    Stricter than JSON Schema, to which 1.0 is an integer: cells are of the type int exactly, so
    floats, booleans and NumPy's integers are problems.
    """
    if not isinstance(grid, list):
        return [Problem(place, f"is {shown(grid)}, expected a grid (a list of rows)")]
    problems = []
    if not 1 <= len(grid) <= MAX_SIDE:
        message = f"has {counted(len(grid), 'row')}, expected 1 to {MAX_SIDE}"
        problems.append(Problem(place, message))
    width = first = 0  # of the first row that can set the width
    for number, row in enumerate(grid[:MAX_SIDE], 1):
        if not isinstance(row, list):
            message = f"is {shown(row)}, expected a list of cells"
        elif not 1 <= len(row) <= MAX_SIDE:
            message = f"has {counted(len(row), 'cell')}, expected 1 to {MAX_SIDE}"
        elif width and len(row) != width:
            message = f"has {counted(len(row), 'cell')}, expected {width} as in row {first}"
        else:
            if not width:
                width, first = len(row), number
            # Types first: they also vouch for the cells being hashable.
            if set(map(type, row)) == _INTEGERS and _COLOURS.issuperset(row):
                continue
            message = _bad_cells(row)
        where = f"{place}, row {number}" if place else f"row {number}"
        problems.append(Problem(where, message))
    return problems


def _bad_cells(row: list[object]) -> str:
    bad = [
        (number, cell)
        for number, cell in enumerate(row, 1)
        if type(cell) is not int or cell not in _COLOURS
    ]
    number, cell = bad[0]
    message = f"cell {number} is {shown(cell)}, expected an integer 0 to 9"
    if len(bad) > 1:
        message += f" ({counted(len(bad) - 1, 'more such cell')} in this row)"
    return message
