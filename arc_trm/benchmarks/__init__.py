"""Benchmarks: how fast training, prediction and data are on this machine, and what takes the time.

`run_benchmark` runs one of them; with a `Setting` it compares two settings of a run.
"""

from arc_trm.benchmarks.benchmark import BenchmarkResult, run_benchmark
from arc_trm.benchmarks.comparison import Setting

__all__ = ["BenchmarkResult", "Setting", "run_benchmark"]
