"""The rules of DESIGN that a machine can check: direction, sizes, names, imports, safety."""

import ast
import importlib
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "nilometer"
FILES = sorted(SRC.rglob("*.py"))
STAGES = [
    "facades",
    "arrays",
    "errors",
    "display",
    "traces",
    "signals",
    "estimators",
    "decisions",
    "pages",
    "service",
    "cli",
    "__main__",
]
ALLOWED = {stage: set(STAGES[: i + 1]) for i, stage in enumerate(STAGES)}
ALLOWED["models"] = {"facades", "arrays", "errors", "display", "traces", "signals", "models"}
ALLOWED["cli"].add("models")
ALLOWED["service"].add("models")
ALLOWED["capture"] = {"facades", "errors", "service"}  # the short path that servers import
MAX_FILES = 16
MAX_FILE, MAX_FUNCTION, MAX_NESTING, MAX_PARAMETERS, MAX_POSITIONAL = 400, 40, 3, 6, 3
HEAVY = {
    "torch",
    "transformers",
    "pandas",
    "polars",
    "ray",
    "starlette",
    "uvicorn",
    "httpx",
    "prometheus_client",
    "gguf",
    "reasoning_gym",
}
ONLY = {
    "sklearn": {"estimators"},
    "altair": {"pages"},
    "jinja2": {"pages"},
    "rich": {"cli", "models"},
    "typer": {"cli"},
    "duckdb": {"traces"},
}


def _stage(path):
    return path.relative_to(SRC).parts[0].removesuffix(".py")


@cache
def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(path, *, top=False):
    tree, found = _tree(path), []
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.level))
    return found


def _module(path):
    return ".".join(("nilometer", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__")


def _package(path):
    return ".".join(("nilometer", *path.parent.relative_to(SRC).parts))


def _absolute(path, module, level):
    """Full name of what ``from <level dots><module> import`` in this file means."""
    if not level:
        return module
    parts = _package(path).split(".")
    return ".".join((*parts[: len(parts) - level + 1], module)).removesuffix(".")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_left_and_through_the_init(path):
    stage = _stage(path)
    if stage == "__init__":
        return
    for module, level in _imports(path):
        full = _absolute(path, module, level)
        if not full.startswith("nilometer."):
            continue
        other = full.split(".")[1]
        assert other in ALLOWED[stage], f"{stage} must not import {full}"
        if other == stage:
            assert level or stage == "facades", f"{full}: imports inside a stage are relative"
        else:
            assert not level, f"{full}: reach another stage by its full name"
            target = SRC / Path(*full.split(".")[1:])
            assert target.is_dir() or other in {"arrays", "errors", "facades", "display"}, (
                f"import a package of {other}, not its file {full}"
            )


def _graph(node_of):
    """Which nodes import which, with relative imports followed to the file that they name."""
    modules = {_module(path): path for path in FILES}
    graph = {}
    for path in FILES:
        if path.name == "__init__.py":
            continue
        edges = graph.setdefault(node_of(path), set())
        for module, level in _imports(path):
            target = modules.get(_absolute(path, module, level))
            if target is not None and node_of(target) != node_of(path):
                edges.add(node_of(target))
    return graph


def _cycle(graph):
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_no_two_files_import_each_other():
    assert _cycle(_graph(_module)) == []


def test_no_two_packages_import_each_other():
    def package(path):
        return _package(path) if len(path.relative_to(SRC).parts) > 2 else _module(path)

    assert _cycle(_graph(package)) == []


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=lambda p: str(p.relative_to(SRC)))
def test_packages_stay_small(folder):
    if folder.name != "cli":  # one file per verb
        assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MAX_FILES


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_heavy_packages_are_imported_where_they_are_needed(path):
    stage = _stage(path)
    for module, level in _imports(path, top=True):
        assert level or module.split(".")[0] not in HEAVY, f"{module} must be imported inside a function"
    for module, level in _imports(path):
        root = module.split(".")[0]
        assert level or root not in ONLY or stage in ONLY[root], f"{stage} must not import {root}"


def _nesting(node, depth=0):
    deeper = (ast.If, ast.For, ast.While, ast.With, ast.Try)
    chained = node.orelse if isinstance(node, ast.If) and len(node.orelse) == 1 else []
    return max(
        [
            depth,
            *(
                _nesting(child, depth + (isinstance(child, deeper) and child not in chained))
                for child in ast.iter_child_nodes(node)
            ),
        ]
    )


def _body_lines(node, *, signature):
    """Lines of a function without its docstring; of a Typer verb without its flags, which are its signature."""
    documented = ast.get_docstring(node, clean=False)
    start = node.lineno if signature else node.body[0].lineno - 1
    return node.end_lineno - start - (documented.count("\n") + 1 if documented else 0)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_files_and_functions_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE
    for node in ast.walk(_tree(path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = _body_lines(node, signature=_stage(path) != "cli")
        assert body <= MAX_FUNCTION, f"{node.name} has {body} lines"
        assert _nesting(node) <= MAX_NESTING, f"{node.name} is nested too deeply"
        if _stage(path) != "cli" and node.name != "__init__":
            arguments = [a for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in {"self", "cls"}]
            assert len(arguments) <= MAX_POSITIONAL, f"{node.name} has {len(arguments)} positional parameters"
            assert len(arguments) + len(node.args.kwonlyargs) <= MAX_PARAMETERS, node.name


def _exported(tree):
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return ast.literal_eval(node.value)
    return None


def _order(name):
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_all_is_there_sorted_and_complete(path):
    if path.name == "__main__.py" or path.with_suffix(".pyi").exists():
        return
    tree = _tree(path)
    names = _exported(tree)
    assert names is not None, "a module says what it exports in __all__"
    assert names == sorted(names, key=_order)
    kinds = ast.FunctionDef | ast.ClassDef
    public = {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}
    assert public <= set(names), f"missing from __all__: {sorted(public - set(names))}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_every_name_of_all_exists(path):
    if path.parent.name == "models" or "sampler" in path.parts:
        pytest.importorskip("torch") if "torch" in path.read_text(encoding="utf-8") else None
    module = importlib.import_module(_module(path))
    names = list(module.__all__)
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("path", [p for p in FILES if p.with_suffix(".pyi").exists()], ids=lambda p: _module(p))
def test_facades_list_their_names_in_the_stub_alone(path):
    module = importlib.import_module(_module(path))
    assert module.__all__ == sorted(module.__all__)
    assert _exported(_tree(path)) is None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_no_file_can_execute_what_it_loads(path):
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "joblib", "dill", "shelve", "marshal"}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert node.value.value is False


def test_import_is_light():
    heavy = ["sklearn", "altair", "duckdb", "pandas", "torch", "rich", "typer", "scipy", "pyarrow"]
    code = f"import sys, nilometer; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_no_file_is_too_large():
    root = SRC.parents[1]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    sizes = {
        name: (root / name).stat().st_size for name in listed.stdout.split("\0") if name and (root / name).exists()
    }
    assert {name: size for name, size in sizes.items() if size > 10_000_000} == {}
