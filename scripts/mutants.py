"""Single changes to a formula or a guard, each of which some test should notice."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
}
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
NAMES = {
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "all": "any",
    "any": "all",
    "floor": "ceil",
    "ceil": "floor",
    "fmin": "fmax",
    "fmax": "fmin",
}
PROSE = (ast.Raise, ast.JoinedStr, ast.Assert)


class Mutant(NamedTuple):
    """One expression of a file replaced by another."""

    file: str
    function: str
    operator: str
    line: int
    start: int
    """First and last character of what is replaced."""
    end: int
    before: str
    after: str
    place: int
    """How many equal replacements of this function come before it."""

    @property
    def identity(self) -> str:
        """Name that survives edits elsewhere in the file."""
        return "|".join((self.file, self.function, self.operator, self.before, self.after, str(self.place)))

    @property
    def rank(self) -> str:
        """Place in the sample: a hash, so that an edit elsewhere does not reshuffle it."""
        return hashlib.sha256(self.identity.encode()).hexdigest()

    def applied(self, source: str) -> str:
        """The source with this one change."""
        return source[: self.start] + self.after + source[self.end :]


def mutants(root: Path, file: str) -> list[Mutant]:
    """Return every mutant of a file, in the order of the text."""
    source = (root / file).read_text(encoding="utf-8")
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = source.splitlines(keepends=True)

    def at(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    found: list[Mutant] = []
    seen: dict[tuple[str, ...], int] = {}
    for node, function in _expressions(ast.parse(source)):
        start, end = at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)
        for operator, changed in _changes(node):
            before, after = source[start:end], f"({ast.unparse(changed)})"
            key = (function, operator, before, after)
            seen[key] = seen.get(key, -1) + 1
            found.append(Mutant(file, function, operator, node.lineno, start, end, before, after, seen[key]))
    return found


def _expressions(tree: ast.AST, function: str = "") -> Iterator[tuple[ast.expr, str]]:
    """Walk through what is executed, without annotations, messages and defaults of nothing."""
    for name, value in ast.iter_fields(tree):
        if name in {"annotation", "returns", "type_comment", "format_spec", "decorator_list"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, PROSE):
                continue
            inner = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{function}.{child.name}".lstrip(".")
            if isinstance(child, ast.expr) and not isinstance(getattr(child, "ctx", None), ast.Store):
                yield child, inner
            yield from _expressions(child, inner)


def _changes(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.BinOp):
        yield from _arithmetic(node)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for kind in COMPARISONS[type(node.ops[0])]:
            yield "comparison", ast.Compare(node.left, [kind()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", ast.BoolOp(other, node.values)
        if len(node.values) == 2:
            yield from (("dropped condition", one) for one in node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        if not isinstance(node.operand, ast.Constant):
            yield "dropped sign", node.operand
    elif isinstance(node, ast.Constant):
        yield from _constant(node.value)
    elif isinstance(node, ast.Call):
        yield from _call(node)
    elif isinstance(node, ast.IfExp):
        yield from (("one branch", one) for one in (node.body, node.orelse))


def _arithmetic(node: ast.BinOp) -> Iterator[tuple[str, ast.expr]]:
    other = ARITHMETIC.get(type(node.op))
    text = isinstance(node.left, ast.Constant | ast.JoinedStr) and isinstance(getattr(node.left, "value", ""), str)
    if other is not None and not text:
        yield "arithmetic", ast.BinOp(node.left, other(), node.right)
        yield "dropped term", node.left
    elif isinstance(node.op, ast.BitAnd | ast.BitOr):
        flipped = ast.BitOr() if isinstance(node.op, ast.BitAnd) else ast.BitAnd()
        yield "and/or", ast.BinOp(node.left, flipped, node.right)
        yield from (("dropped condition", one) for one in (node.left, node.right))


def _constant(value: object) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int):
        yield "constant", ast.Constant(value + 1)
    elif isinstance(value, float):
        yield "constant", ast.Constant(value * 2 if value else 1.0)


def _call(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    function = node.func
    if isinstance(function, ast.Name) and function.id in NAMES:
        yield "name", ast.Call(ast.Name(NAMES[function.id]), node.args, node.keywords)
    if isinstance(function, ast.Attribute) and function.attr in NAMES:
        swapped = ast.Attribute(function.value, NAMES[function.attr], ast.Load())
        yield "name", ast.Call(swapped, node.args, node.keywords)
