"""Every Python example in README and docs runs, block after block of one page in one namespace; every link resolves."""

import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"<!-- python -->\n```text\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+\.md)[^)]*\)")


def _script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


API = _script("api_pages")
MADE = {"api/nilometer.md", *(facade.page for facade in API.facades())}


def _name(page):
    return str(page.relative_to(ROOT))


def _blocks(page):
    return [match.group(1) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=_name)
def test_examples_run_and_print_what_the_page_shows(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "example"}
    for block in _blocks(page):
        exec(compile(block, str(page), "exec"), namespace)
    shown = OUTPUT.findall(page.read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert [text for text in shown if text not in printed] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_to_pages_lead_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    made = {(ROOT / "docs" / name).resolve() for name in MADE}
    targets = {link: (page.parent / link).resolve() for link in links if "://" not in link}
    assert [link for link, target in targets.items() if not target.exists() and target not in made] == []


def test_every_public_name_is_on_exactly_one_page_of_the_api():
    shown = [(facade.package, name) for facade in API.facades() for group in facade.groups for name in group.names]
    packages = {facade.package: importlib.import_module(facade.package) for facade in API.facades()}
    public = {
        name
        for package in packages.values()
        for name in package.__all__
        if not inspect.ismodule(getattr(package, name))
    }
    assert len(shown) == len(set(shown))
    assert [(package, name) for package, name in shown if name not in packages[package].__all__] == []
    assert public - {name for _, name in shown} == set()


def test_the_first_page_of_the_api_leads_to_every_package():
    first = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    assert [name for name in sorted(MADE) if f"({name.removeprefix('api/')})" not in first] == []


def test_every_name_of_the_root_has_a_link_to_its_description():
    names = [name for name in importlib.import_module("nilometer").__all__ if not name.startswith("_")]
    stages = {facade.package.split(".")[1] for facade in API.facades()}
    assert [name for name in names if f"[`{name}`]" not in API.root_page() and name not in stages] == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    names = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [name for name in names if name not in navigation] == []


def test_the_version_has_a_section_in_the_changelog():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert f"## {version} (" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_page_names_a_result_that_does_not_exist():
    named = [
        (page.name, name)
        for page in PAGES
        for name in re.findall(
            r"(?:studies|benchmarks)/(?:results/)?[\w-]+\.(?:json|py)", page.read_text(encoding="utf-8")
        )
    ]
    missing = [(page, name) for page, name in named if not (ROOT / name).exists()]
    assert [(page, name) for page, name in missing if "NAME" not in name] == []


def test_every_test_that_the_threat_model_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")))
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 20
    assert named <= set(re.findall(r"^def (test_\w+)", source, re.M))
