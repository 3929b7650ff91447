"""The version of this package, that of `submission`, which is installed with it."""

from submission._version import __version__

__all__ = ["__version__"]
