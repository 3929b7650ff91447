"""Environment variables that hold something else than torchrun or a user of the Hub sets."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from arc_trm.device import under_torchrun
from arc_trm.environment import check_hub_address, environment_number, processor_name
from arc_trm.errors import UserError

TORCHRUN = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize("text", ["abc", "", "-1", "1.5", "٣", "65536", "9" * 5000, "1\n"])
@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "MASTER_PORT"])
def test_a_variable_of_torchrun_that_is_no_number(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    for key, value in {**TORCHRUN, name: text}.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(UserError, match=f"the environment variable {name} is "):
        under_torchrun()


def test_the_variables_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert not under_torchrun()
    assert environment_number("RANK", 7) == 7
    for key, value in TORCHRUN.items():
        monkeypatch.setenv(key, value)
    assert under_torchrun()
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UserError, match="RANK is 1, expected a number below WORLD_SIZE, 1"):
        under_torchrun()


@pytest.mark.parametrize(
    "address", ["http://[bad", "ftp://x", "x", "http://", "http://x:y", "http://x:0"]
)
def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(UserError, match="the environment variable HF_ENDPOINT is "):
        check_hub_address()


@pytest.mark.parametrize(
    "address", ["", "https://huggingface.co", "http://user:word@127.0.0.1:80/"]
)
def test_an_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    check_hub_address()


def test_a_mac_says_the_name_of_its_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert processor_name() == "arm"  # without the program that knows more
    sysctl = tmp_path / "sysctl"
    sysctl.write_text("#!/bin/sh\necho Apple M9\n")
    sysctl.chmod(0o755)
    assert processor_name() == "Apple M9"
