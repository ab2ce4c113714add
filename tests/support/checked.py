"""Checks the annotations of the package, shapes of arrays among them, at every call that the tests make."""

import ast
import sys
from collections.abc import Sequence
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from inspect import isgeneratorfunction
from typing import get_args

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeCallHintParamViolation, BeartypeDecorHintException
from jaxtyping import AbstractArray, jaxtyped
from numpy import ndarray

__all__ = ["SequenceOrArray", "checked", "install"]

_CHECK = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as for the type checker
_DECORATOR = "__import__('checked').checked"


class SequenceOrArray:
    """What a sequence is when it is checked: an array may stand wherever one is read."""

    def __class_getitem__(cls, item):
        return Sequence[item] | ndarray


def checked(function):
    """Check arguments and result at each call, unless the function itself refuses the argument in words.

    What only a type checker can decide, such as a protocol, is left alone.
    """
    strict = None

    @wraps(function)
    def call(*args, **kwargs):
        nonlocal strict
        if strict is None:
            strict = _strict(function)
        try:
            return strict(*args, **kwargs)
        except BeartypeCallHintParamViolation:
            function(*args, **kwargs)  # a guard of its own says more than the check
            raise

    return call


def _strict(function):
    """Return the function under its check; a generator is checked when it is made, before its first step."""
    try:
        if isgeneratorfunction(function):
            return jaxtyped(typechecker=_CHECK)(function)
        strict = _CHECK(function)
    except BeartypeDecorHintException:
        return function
    return _apart(strict) if any(map(_has_shape, function.__annotations__.values())) else strict


def _apart(strict):
    """Give each call sizes of its own."""

    def call(*args, **kwargs):
        with jaxtyped("context"):
            return strict(*args, **kwargs)

    return call


def _has_shape(hint):
    return isinstance(hint, str | type(AbstractArray)) or any(map(_has_shape, get_args(hint)))


class _Annotations(ast.NodeTransformer):
    """Lets arrays pass for sequences in the arguments of a function."""

    def visit_Subscript(self, node):
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "Sequence":
            node.value = ast.parse("__import__('checked').SequenceOrArray", mode="eval").body
        return node


class _Loader(SourceFileLoader):
    def source_to_code(self, data, path, *, _optimize=-1):
        tree = ast.parse(data, path)
        for holder in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
            for node in holder.body:
                if isinstance(node, ast.FunctionDef):
                    for argument in ast.walk(node.args):
                        if getattr(argument, "annotation", None) is not None:
                            argument.annotation = _Annotations().visit(argument.annotation)
                    node.decorator_list.append(ast.parse(_DECORATOR, mode="eval").body)
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=_optimize)

    def path_stats(self, path):
        raise OSError(f"{path}: the checked form is not cached")


class _Finder(MetaPathFinder):
    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if not any(name == package or name.startswith(f"{package}.") for package in self.packages):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install(*packages):
    """Check every module of these packages that is imported from now on."""
    sys.meta_path.insert(0, _Finder(packages))
