"""A page of HTML with everything about a set of predictions: scores, grids, votes and traces."""

from arc_trm.viz.report.page import Report, build_report, report_page

__all__ = ["Report", "build_report", "report_page"]
