"""The machine's processor, and environment variables that others read too.

The variables are those of torchrun and of the Hub's client.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from arc_trm.errors import UserError, format_value

MAX_NUMBER = 65_535
"""Largest number of a process, a device or a port."""


def environment_number(name: str, default: int) -> int:
    """Return the number in a variable that torchrun sets, `default` without one.

    Raises:
        UserError: it is no number from 0 to `MAX_NUMBER`.
    """
    text = os.environ.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= MAX_NUMBER):
        raise UserError(
            f"the environment variable {name} is {format_value(text)}, expected a number from 0 to "
            f"{MAX_NUMBER}, as torchrun sets it: unset it, or start the processes with torchrun"
        )
    return int(text)


def check_hub_address() -> None:
    """Raise UserError if HF_ENDPOINT is no address: the Hub's client could not be imported."""
    address = os.environ.get("HF_ENDPOINT", "")
    try:
        url = urlsplit(address)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    if address and not (valid and address.isprintable()):
        raise UserError(
            f"the environment variable HF_ENDPOINT is {format_value(address)}, which is no address "
            "of a server: unset it, or write https://HOST"
        )


def processor_name() -> str:
    """Return the name of the processor, its architecture where the system says no more."""
    with suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            command = ("sysctl", "-n", "machdep.cpu.brand_string")
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
            return done.stdout.strip()
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()
