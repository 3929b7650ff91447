"""Weights from and to the Hugging Face Hub.

The client library is imported where it is needed only: local weights do without it.
"""

from arc_trm.hub.datasets import fetch_dataset
from arc_trm.hub.pull import PullResult, pull, resolve
from arc_trm.hub.push import PushResult, push
from arc_trm.hub.repo_id import Reference, parse

__all__ = [
    "PullResult",
    "PushResult",
    "Reference",
    "fetch_dataset",
    "parse",
    "pull",
    "push",
    "resolve",
]
