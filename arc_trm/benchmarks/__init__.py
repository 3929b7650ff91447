"""Benchmarks: how fast training, prediction and data are on this machine, and what takes the time.

`run_benchmark` runs one of them.
"""

from arc_trm.benchmarks.benchmark import BenchmarkResult, run_benchmark

__all__ = ["BenchmarkResult", "run_benchmark"]
