"""Facades of packages: names stand in the stub beside each ``__init__`` and are imported when they are used."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lazy_loader

__all__ = ["attach"]


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package that gathers the names of its sub-packages.

    Like ``lazy_loader.attach_stub``, but a line ``from .room import *`` in the stub stands for every name in the
    stub of that sub-package, so that each name is listed once.
    """
    names: dict[str, list[str]] = {}
    rooms: set[str] = set()
    for module, name in _imported(Path(file).with_suffix(".pyi")):
        if module is None:
            rooms.add(name)
        elif name == "*":
            rooms.add(module)
            names[module] = list(_names(Path(file).parent / module / "__init__.pyi"))
        else:
            names.setdefault(module, []).append(name)
    result: tuple[Callable[[str], Any], Callable[[], list[str]], list[str]] = lazy_loader.attach(package, rooms, names)
    return result


def _names(stub: Path) -> Iterator[str]:
    """Every name that a stub lists, those of its sub-packages among them."""
    for module, name in _imported(stub):
        if name == "*" and module is not None:
            yield from _names(stub.parent / module / "__init__.pyi")
        else:
            yield name


def _imported(stub: Path) -> list[tuple[str | None, str]]:
    """Pairs (module, name) of every relative import in a stub."""
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [(node.module, alias.name) for node in imports for alias in node.names]
