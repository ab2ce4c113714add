"""The API reference as mkdocs builds it: one page per facade, made from its stub, so that no list is kept by hand.

mkdocs calls ``on_config``, ``on_files`` and ``on_page_content`` (``hooks`` in mkdocs.yml); nothing is written to docs/.
"""

import ast
import html
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
STAGES = ("traces", "signals", "estimators", "decisions", "pages", "models", "service")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


@dataclass(frozen=True)
class Group:
    """The public names of one module, in the order of the stub."""

    module: str
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        """The module's name as a heading."""
        return self.module.rsplit(".", 1)[1].replace("_", " ").capitalize()


@dataclass(frozen=True)
class Facade:
    """A package whose names are public, and the page that shows them."""

    package: str
    groups: tuple[Group, ...]

    @property
    def page(self) -> str:
        """The address of the page below docs/."""
        return f"api/{self.package}.md"


def facades() -> list[Facade]:
    """Every package with names of its own in its stub, stage by stage."""
    packages = [
        path.parent for stage in STAGES for path in sorted((SOURCE / "nilometer" / stage).rglob("__init__.pyi"))
    ]
    found = [_facade(folder) for folder in packages]
    errors = ("nilometer.errors", tuple(_all_of(SOURCE / "nilometer" / "errors.py")))
    return [facade for facade in found if facade.groups] + [Facade("nilometer.errors", (Group(*errors),))]


def _facade(folder: Path) -> Facade:
    package = ".".join(folder.relative_to(SOURCE).parts)
    tree = ast.parse((folder / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    groups = [
        Group(f"{package}.{node.module}", tuple(alias.name for alias in node.names))
        for node in imports
        if node.names[0].name != "*" and node.level == 1
    ]
    return Facade(package, tuple(groups))


def _all_of(file: Path) -> list[str]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return list(ast.literal_eval(node.value))
    raise ValueError(f"{file}: `__all__` is missing.")


def _docstring(module: str) -> str:
    path = SOURCE.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("``", "`")


def page_of(facade: Facade) -> str:
    """The Markdown of one page: what there is at a glance, then every name."""
    lines = [f"# {facade.package}", "", _docstring(facade.package), ""]
    names = [name for group in facade.groups for name in group.names]
    example = next((name for name in names if name.islower()), names[0])
    lines += [f"Import from the package, whatever the file: `from {facade.package} import {example}`.", ""]
    for group in facade.groups:
        links = ", ".join(f"[`{name}`][{group.module}.{name}]" for name in group.names)
        lines.append(f"- **{group.title}:** {links}")
    for group in facade.groups:
        members = "\n".join(f"        - {name}" for name in group.names)
        lines += ["", f"## {group.title}", "", f"::: {group.module}", "    options:", "      members:", members]
    return "\n".join(lines) + "\n"


def root_page() -> str:
    """The Markdown of the page of names that `import nilometer` offers, each with a link to where it is described."""
    found = {name: group.module for facade in facades() for group in facade.groups for name in group.names}
    tree = ast.parse((SOURCE / "nilometer" / "__init__.pyi").read_text(encoding="utf-8"))
    lines = ["# nilometer", "", _docstring("nilometer"), "", "| import | what it is for |", "|---|---|"]
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            links = ", ".join(f"[`{a.name}`][{found[a.name]}.{a.name}]" for a in node.names if a.name in found)
            lines.append(f"| {links} | {_docstring(f'nilometer.{node.module}')} |")
    return "\n".join(lines) + "\n"


def _nav(found: list[Facade]) -> list[object]:
    """One section per stage; the stage's own page stands first."""
    entries: dict[str, list[object]] = {}
    for facade in found:
        entries.setdefault(facade.package.split(".")[1], []).append({facade.package.split(".", 1)[1]: facade.page})
    sections: list[object] = [pages[0] if len(pages) == 1 else {stage: pages} for stage, pages in entries.items()]
    return ["api/index.md", {"nilometer": "api/nilometer.md"}, *sections]


def on_config(config):
    """Fill the section API of the navigation."""
    for section in config.nav:
        if isinstance(section, dict) and "API" in section:
            section["API"] = _nav(facades())
    return config


def on_files(files, config):
    """Add one generated page per facade."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "api/nilometer.md", content=root_page()))
    for facade in facades():
        files.append(File.generated(config, facade.page, content=page_of(facade)))
    return files


def on_page_content(content, page, config, files):
    """Write formulas as MathML, which browsers show without a script and without a network."""
    return FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    formula = html.unescape(found[2]).replace(r"\_", "_") if r"\text" in found[2] else html.unescape(found[2])
    return convert(formula, display="block" if found[1] == "div" else "inline")
