"""How fast training, prediction and data are here, and where the time goes."""

from arc_trm.benchmarks.scaling import bench_growth
from arc_trm.benchmarks.throughput import bench_data, bench_predict, bench_train

__all__ = ["bench_data", "bench_growth", "bench_predict", "bench_train"]
