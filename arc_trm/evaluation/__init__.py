"""From predictions to attempts, scores and comparisons."""
