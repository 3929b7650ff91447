"""ARC-AGI in other people's evaluation harnesses: inspect_ai's is `arc_trm.integrations.inspect_ai.plugin`.

The package itself needs no harness and no torch.
"""
