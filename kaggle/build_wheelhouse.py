"""Gather the wheels that arc-trm needs on Kaggle and the competition's image lacks.

    pip list --format=freeze > image.txt   # on Kaggle, in a notebook with the competition's image
    python kaggle/build_wheelhouse.py --python 3.11 --image image.txt

pip finds what is missing: it resolves the dependencies in an environment that has only the name and
version of every package in image.txt. The Python that runs pip must have the image's version. Needs
Linux on x86_64, pip and the internet: a notebook on Kaggle has all of them (kaggle/README.md has
its cells). The folder --out receives all wheels or none.
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


class UserError(Exception):
    """A mistake of the user, in one sentence."""


def run(failure: str, *command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a command. Raises UserError with `failure` if it fails; its own message is above."""
    if subprocess.run(command, env=env).returncode:
        raise UserError(failure)


def normalise(name: str) -> str:
    """Return a package's name in the form that is equal for all spellings."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_image(path: Path) -> dict[str, str]:
    """Return the versions of an image's packages by name."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the image's list {path} ({getattr(error, 'strerror', 'not text')}): make "
            "it on Kaggle with `pip list --format=freeze`, or name an empty file for a bare Python"
        ) from None
    packages = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9][\w.-]*)==([\w.+!-]+)", line.strip())
        if match is None:  # `pip freeze` writes the origin of some packages, not their version
            raise UserError(
                f"{path}, line {number} is not NAME==VERSION but {line.strip()!r}: make the list "
                "with `pip list --format=freeze`"
            )
        packages[normalise(match[1])] = match[2]
    return packages


def find_python(version: str) -> str:
    """Return the interpreter of this version."""
    if not re.fullmatch(r"3\.\d+", version):
        raise UserError(
            f"a Python version is written 3.11, got {version!r}: see `python --version` on Kaggle"
        )
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise UserError(
            "Kaggle runs Linux on x86_64, and pip selects wheels for its own machine: run this in "
            "a notebook on Kaggle (kaggle/README.md has its cells), or on Linux on x86_64"
        )
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    python = shutil.which(f"python{version}")
    advice = f"install Python {version}, or run this in a notebook on Kaggle (kaggle/README.md)"
    if python is None:
        raise UserError(
            f"there is no python{version} here, with which pip would resolve as on the image: "
            f"{advice}"
        )
    # A name on the PATH may be a shim, as of pyenv, which says itself what it lacks.
    probe = "import sys, venv; print('{}.{}'.format(*sys.version_info))"
    done = subprocess.run([python, "-c", probe], capture_output=True, text=True)
    if done.returncode:
        text = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise UserError(f"{python} does not run with the module venv ({text}): {advice}")
    if done.stdout.strip() != version:
        raise UserError(f"{python} is Python {done.stdout.strip()}: {advice}")
    return python


def imitate(python: str, packages: dict[str, str], glibc: int, folder: Path) -> Path:
    """Make an environment that seems to have `packages` and glibc 2.`glibc`; return its Python."""
    failure = f"{python} cannot make an environment (see above): install a Python with venv"
    run(failure, python, "-m", "venv", "--without-pip", folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for name, version in packages.items():
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8"
        )
    function = "def manylinux_compatible(major, minor, machine):"  # pip calls it (PEP 600)
    (site / "_manylinux.py").write_text(f"{function} return (major, minor) <= (2, {glibc})\n")
    return folder / "bin" / "python"


def build(folder: Path) -> Path:
    """Build the wheel of arc-trm in `folder`, from a copy, because building leaves files behind."""
    with tempfile.TemporaryDirectory() as copy:
        for name in SOURCES:
            copy_source = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy_source(ROOT / name, Path(copy) / name)
        failure = "pip cannot build a wheel of arc-trm (see above): check the internet connection"
        run(failure, *PIP, "wheel", "--no-deps", "-w", folder, copy)
    (wheel,) = folder.glob("arc_trm-*.whl")
    return wheel


def gather(
    python: str, packages: dict[str, str], constraints: Path, glibc: int, folder: Path
) -> None:
    """Fill `folder` with the wheel of arc-trm and those that it needs besides `packages`."""
    wheel = build(folder)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        pip = [*PIP, "--python", imitate(python, packages, glibc, scratch / "image")]
        # Packages of the image keep their version; constraints apply to the others only.
        pins = [
            line
            for line in constraints.read_text("utf-8").splitlines()
            if normalise(re.split(r"[\s=<>!~;#\[]", line, maxsplit=1)[0]) not in packages
        ]
        (scratch / "constraints.txt").write_text("\n".join(pins), "utf-8")
        resolve = [*pip, "install", "--dry-run", "--only-binary=:all:", wheel]
        run(
            f"pip finds no compatible wheels for this Python and glibc 2.{glibc} (see above): "
            "loosen --constraints, or raise --glibc to the image's",
            *resolve,
            "-c",
            scratch / "constraints.txt",
            "--report",
            scratch / "report.json",
        )
        report = json.loads((scratch / "report.json").read_text("utf-8"))
        found = [each["metadata"] for each in report["install"]]
        versions = {normalise(each["name"]): each["version"] for each in found}
        versions.pop("arc-trm", None)
        missing = [f"{name}=={version}" for name, version in versions.items()]
        if missing:
            download = [*pip, "download", "--no-deps", "--only-binary=:all:", "-d", folder]
            run("pip cannot download all wheels (see above): try again", *download, *missing)
        # Without pip's own settings, which may name other sources of wheels.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
        run(
            "the downloaded wheels alone do not install (see above): try again",
            *resolve,
            "--no-index",
            "--find-links",
            folder,
            env={**environment, "PIP_CONFIG_FILE": os.devnull},
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", required=True, metavar="X.Y", help="the image's version")
    parser.add_argument("--image", required=True, type=Path, help="list of the image's packages")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "kaggle" / "wheels",
        metavar="FOLDER",
        help="folder for the wheels, made if need be (default: kaggle/wheels of the project)",
    )
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
        raise UserError(f"there is no file {options.constraints}: name one with --constraints")
    if any(out.glob("*.whl")):
        raise UserError(f"{out} already holds wheels: remove them or name another --out")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".building-") as temporary:
        gather(python, packages, options.constraints, options.glibc, Path(temporary))
        # The notebook looks for the wheel of arc-trm, so it is moved last.
        wheels = sorted(Path(temporary).iterdir(), key=lambda wheel: "arc_trm-" in wheel.name)
        for wheel in wheels:
            print(f"{wheel.stat().st_size / 1e6:8.1f} MB  {wheel.name}")
            wheel.replace(out / wheel.name)
    print(f"{out}: {len(wheels)} wheels, which install offline")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"Error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
