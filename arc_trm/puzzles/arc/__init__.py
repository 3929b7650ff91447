"""Grids of ARC: tokens, augmentations, canvas sizes, duplicates."""
