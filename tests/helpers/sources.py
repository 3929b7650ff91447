"""What source files import."""

from __future__ import annotations

import ast
from pathlib import Path


def imports(file: Path) -> set[str]:
    """All that a file imports, in functions and for types too; `from a import b` is a.b."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{file}: name the whole module"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found
