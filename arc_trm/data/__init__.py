"""Data: from the name or path of a dataset to batches of tokens."""
