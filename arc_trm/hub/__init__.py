"""Weights and datasets on the Hugging Face Hub. Local weights do without this package."""

from arc_trm.environment import check_hub_address

check_hub_address()  # before the imports below, which import the Hub's client

from arc_trm.hub.datasets import fetch_dataset  # noqa: E402
from arc_trm.hub.pull import PullResult, pull_weights, resolve_weights  # noqa: E402
from arc_trm.hub.push import PushResult, push_weights  # noqa: E402
from arc_trm.hub.repo_id import RepoId, parse_repo_id  # noqa: E402

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
