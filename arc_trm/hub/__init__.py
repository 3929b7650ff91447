"""Weights and datasets on the Hugging Face Hub. Local weights do without this package."""

from arc_trm.hub.datasets import fetch_dataset
from arc_trm.hub.pull import PullResult, pull_weights, resolve_weights
from arc_trm.hub.push import PushResult, push_weights
from arc_trm.hub.repo_id import RepoId, parse_repo_id

__all__ = [
    "PullResult",
    "PushResult",
    "RepoId",
    "fetch_dataset",
    "parse_repo_id",
    "pull_weights",
    "push_weights",
    "resolve_weights",
]
