"""A page of HTML with everything about predictions: scores, grids, votes, traces, differences."""

from arc_trm.viz.report.page import (
    Report,
    build_comparison,
    build_report,
    comparison_path,
    report_page,
    write_report,
)

__all__ = [
    "Report",
    "build_comparison",
    "build_report",
    "comparison_path",
    "report_page",
    "write_report",
]
