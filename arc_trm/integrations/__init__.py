"""Plugins for evaluation harnesses: `inspect_ai`. `prompts` writes grids as text."""
