"""What a server answers that may be no Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from fuzzing import fuzz, mutations, reads_or_refuses
from hypothesis import example, given

from arc_trm.callbacks import ignore
from arc_trm.hub import client
from arc_trm.hub.repo_files import list_files
from arc_trm.hub.repo_id import RepoId

FILES = [
    {"rfilename": "config.json", "size": 5, "blobId": "0" * 40, "lfs": None},
    {"rfilename": "model.safetensors", "size": 9, "lfs": {"sha256": "1" * 64, "size": 9}},
]


def listing(**changes: object) -> bytes:
    return json.dumps({"sha": "0" * 40, "siblings": FILES, **changes}).encode()


@contextmanager
def answer(content: bytes) -> Iterator[SimpleNamespace]:
    yield SimpleNamespace(iter_bytes=lambda: iter([content]))


@fuzz
@given(mutations(listing(), listing(sha=5), listing(siblings={"a": 1}), b"[" * 100_000))
@example(listing(sha=5))
@example(listing(siblings=[{"rfilename": 5, "size": "x"}]))
@example(listing(siblings=[{"rfilename": None}]))
@example(b"[" * 100_000)
def test_listings(content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patched:
        session = SimpleNamespace(stream=lambda *_, **__: answer(content))
        patched.setattr(client, "get_session", lambda: session)
        patched.setattr(client, "hf_raise_for_status", lambda response: None)
        reads_or_refuses(lambda: list_files(RepoId("owner/name"), ignore).names(None))
