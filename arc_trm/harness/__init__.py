"""ARC-AGI in other people's evaluation harnesses: inspect_ai's is `arc_trm.harness.inspect`.

The package itself needs no harness and no torch.
"""
