"""The plugin for inspect_ai: task, solvers and scorer, registered under the prefix `arc_trm/`."""
