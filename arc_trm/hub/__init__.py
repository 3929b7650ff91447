"""Weights from and to the Hugging Face Hub.

The client library is imported where it is needed only: local weights do without it.
"""

from arc_trm.hub.datasets import fetch_dataset
from arc_trm.hub.pulling import Pulled, pull, resolve
from arc_trm.hub.pushing import Pushed, push
from arc_trm.hub.reference import Reference, parse

__all__ = ["Pulled", "Pushed", "Reference", "fetch_dataset", "parse", "pull", "push", "resolve"]
