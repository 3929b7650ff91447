"""Mazes: solver and generator."""
