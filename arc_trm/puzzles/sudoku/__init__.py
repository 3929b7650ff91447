"""Sudokus: solver and generator."""
