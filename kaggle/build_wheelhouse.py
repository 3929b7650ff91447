"""Gather the wheels that arc-trm needs on Kaggle and the competition's image lacks.

    pip list --format=freeze > image.txt   # on Kaggle, in a notebook with the competition's image
    python kaggle/build_wheelhouse.py --python 3.11 --image image.txt

pip itself says what is lacking: it resolves in an environment that has, of every package in
image.txt, the name and the version and nothing else. It judges by the Python it runs under, so that
must be the image's version. Needs pip and the internet; OUT gets all wheels or none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "arc_trm", "datasets", "submission")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


class Mistake(Exception):
    """One sentence for the user."""


def run(failure: str, *command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a command, which says itself what went wrong; then Mistake with what it means."""
    if subprocess.run(command, env=env).returncode:
        raise Mistake(failure)


def normal(name: str) -> str:
    """A package's name as all spellings of it compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_image(path: Path) -> dict[str, str]:
    """Version by name of the packages in an image's list."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(
            f"cannot read the image's list {path} ({getattr(error, 'strerror', 'not text')}): make "
            "it on Kaggle with `pip list --format=freeze`, or name an empty file for a bare Python"
        ) from None
    packages = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9][\w.-]*)==([\w.+!-]+)", line.strip())
        if match is None:  # `pip freeze` says where some come from in place of the version
            raise Mistake(
                f"{path}, line {number} is not NAME==VERSION but {line.strip()!r}: make the list "
                "with `pip list --format=freeze`"
            )
        packages[normal(match[1])] = match[2]
    return packages


def find_python(version: str) -> str:
    """The interpreter of that version."""
    if not re.fullmatch(r"3\.\d+", version):
        raise Mistake(f"a Python version reads 3.11, got {version!r}: see `python --version` there")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Mistake(
            "Kaggle runs Linux on x86_64 and pip asks for wheels of its own kind: run this there"
        )
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    python = shutil.which(f"python{version}")
    if python is None:
        raise Mistake(
            f"there is no python{version} here, under which pip would see what the image lacks: "
            "install it, or run this on Kaggle itself"
        )
    return python


def imitate(python: str, packages: dict[str, str], glibc: int, folder: Path) -> Path:
    """The interpreter of an environment that seems to have `packages` and a C library so old."""
    failure = f"{python} makes no environment (see above): install a Python with the module venv"
    run(failure, python, "-m", "venv", "--without-pip", folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for name, version in packages.items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8"
        )
    asked = "def manylinux_compatible(major, minor, machine):"  # by pip: PEP 600
    (site / "_manylinux.py").write_text(f"{asked} return (major, minor) <= (2, {glibc})\n")
    return folder / "bin" / "python"


def build(folder: Path) -> Path:
    """arc-trm's own wheel; from a copy, for building leaves files behind."""
    with tempfile.TemporaryDirectory() as copy:
        for name in SOURCES:
            whole = (ROOT / name).is_dir()
            (shutil.copytree if whole else shutil.copy)(ROOT / name, Path(copy) / name)
        failure = "pip builds no wheel of arc-trm (see above): is it there, and the internet?"
        run(failure, *PIP, "wheel", "--no-deps", "-w", folder, copy)
    (wheel,) = folder.glob("arc_trm-*.whl")
    return wheel


def gather(
    python: str, packages: dict[str, str], constraints: Path, glibc: int, folder: Path
) -> None:
    """Fill `folder` with arc-trm's wheel and the wheels that it needs beside `packages`."""
    wheel = build(folder)
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        pip = [*PIP, "--python", imitate(python, packages, glibc, scratch / "image")]
        # What the image has keeps its version, whatever other versions are known to work.
        pins = [
            line
            for line in constraints.read_text("utf-8").splitlines()
            if normal(re.split(r"[\s=<>!~;#\[]", line, maxsplit=1)[0]) not in packages
        ]
        (scratch / "constraints.txt").write_text("\n".join(pins), "utf-8")
        resolve = [*pip, "install", "--dry-run", "--only-binary=:all:", wheel]
        run(
            f"pip finds no wheels for this Python and glibc 2.{glibc} that go together (see above)"
            ": loosen --constraints, or raise --glibc to the image's",
            *(*resolve, "-c", scratch / "constraints.txt", "--report", scratch / "report.json"),
        )
        found = json.loads((scratch / "report.json").read_text("utf-8"))["install"]
        chosen = {normal(each["metadata"]["name"]): each["metadata"]["version"] for each in found}
        chosen.pop("arc-trm", None)
        lacking = [f"{name}=={version}" for name, version in chosen.items()]
        if lacking:
            download = [*pip, "download", "--no-deps", "--only-binary=:all:", "-d", folder]
            run("pip downloads not all wheels (see above): try again", *download, *lacking)
        # Of pip's own settings none, which may name further places where wheels are found.
        alone = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        run(
            "the downloaded wheels alone do not install (see above): try again",
            *(*resolve, "--no-index", "--find-links", folder),
            env={**alone, "PIP_CONFIG_FILE": os.devnull},
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", required=True, metavar="X.Y", help="the image's version")
    parser.add_argument("--image", required=True, type=Path, help="list of the image's packages")
    parser.add_argument("--out", type=Path, default=ROOT / "kaggle" / "wheels")
    parser.add_argument(
        "--constraints",
        type=Path,
        default=ROOT / "constraints.txt",
        help="versions of what the image lacks (default: the project's)",
    )
    parser.add_argument(
        "--glibc",
        type=int,
        default=28,
        metavar="MINOR",
        help="newest glibc 2.MINOR that a wheel may need (default: %(default)s)",
    )
    options = parser.parse_args()
    out: Path = options.out
    python, packages = find_python(options.python), read_image(options.image)
    if not options.constraints.is_file():
        raise Mistake(f"there is no file {options.constraints}: name one with --constraints")
    if any(out.glob("*.whl")):
        raise Mistake(f"{out} holds wheels already: remove them, or name another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".building-") as place:
        gather(python, packages, options.constraints, options.glibc, Path(place))
        # The notebook looks for arc-trm's, so without it the others are no wheelhouse.
        wheels = sorted(Path(place).iterdir(), key=lambda wheel: wheel.name.startswith("arc_trm-"))
        for wheel in wheels:
            print(f"{wheel.stat().st_size / 1e6:8.1f} MB  {wheel.name}")
            wheel.replace(out / wheel.name)
    print(f"{out}: {len(wheels)} wheels, which install without an index")


if __name__ == "__main__":
    try:
        main()
    except Mistake as mistake:
        print(f"Error: {mistake}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"Error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
