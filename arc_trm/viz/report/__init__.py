"""One page of HTML with everything about a set of answers: scores, grids, votes, steps, curves."""

from arc_trm.viz.report.page import Report, report_page

__all__ = ["Report", "report_page"]
