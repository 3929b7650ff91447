"""Measure what reading many tasks takes from each layout: `layouts_speed.py [NUMBER]`.

Each line has seconds of CPU time and the peak of the memory in MiB.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from layouts import LAYOUTS, barc, re_arc, re_arc_in_one_file, write

from arc_trm.data.loader import load_tasks
from arc_trm.data.readers.puzzle_text import write_csv
from arc_trm.puzzles.generate import GeneratorConfig, generate_puzzles

READ = """
import re, sys, time
from pathlib import Path
from arc_trm.data.loader import load_tasks
import pyarrow.parquet, zstandard

def peak():  # of this process alone, unlike resource.getrusage
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = peak()
started = time.process_time()
tasks = load_tasks(sys.argv[1])
seconds = time.process_time() - started
print(len(tasks), f"{seconds:.2f}", round((peak() - before) / 1024))
"""


def puzzle_files(folder: Path, number: int) -> dict[str, Path]:
    """Write easy Sudokus in each of their layouts."""
    puzzles = generate_puzzles(GeneratorConfig("sudoku", number, max_rating=0, clues=36)).puzzles
    table = folder / "puzzles.csv"
    write_csv(table, puzzles)
    rows = [line.split(",") for line in table.read_text().splitlines()]
    texts = {
        "puzzles.csv": "\n".join(map(",".join, rows)),
        "puzzles.tsv": "\n".join(map("\t".join, rows[1:])),
        "puzzles.sdm": "\n".join(row[0] for row in rows[1:]),
        "rated.txt": "\n".join(f"0000183b305c {row[0]}  1.2" for row in rows[1:]),
    }
    return {name: write(folder / name, text + "\n") for name, text in texts.items()}


def measure(number: int) -> None:
    """Print a line for each layout with so many tasks."""
    known = [task.to_json() for task in load_tasks("arc-agi-1/training")]
    tasks = {f"task{n:06}": known[n % len(known)] for n in range(number)}
    demonstrations = {"re-arc": re_arc, "re-arc, one file": re_arc_in_one_file, "BARC": barc}
    line = "{:<24} {:>7} {:>8} {:>5}".format
    print(line("layout", "tasks", "seconds", "MiB"))
    with tempfile.TemporaryDirectory() as name:
        paths = puzzle_files(Path(name), number)
        builders = {**LAYOUTS, **demonstrations}
        for layout in (*paths, *builders):
            folder = Path(name, layout.replace("/", "-"))
            path = paths.get(layout) or builders[layout](folder, tasks)
            command = [sys.executable, "-c", READ, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            shutil.rmtree(folder, ignore_errors=True)
            print(line(layout, *done.stdout.split()), flush=True)


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
