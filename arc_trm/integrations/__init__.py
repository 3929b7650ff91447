"""Plugins for evaluation harnesses. `prompts` writes grids as text; `inspect_ai` is for inspect_ai."""
