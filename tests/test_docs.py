"""Every Python example in README and docs runs, block after block of one page in one namespace."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+\.md)[^)]*\)")


def _name(page):
    return str(page.relative_to(ROOT))


def _blocks(page):
    return [match.group(1) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=_name)
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "example"}
    for block in _blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_to_pages_lead_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page for page in PAGES[1:] if str(page.relative_to(ROOT / "docs")) not in navigation] == []


def test_no_page_names_a_result_that_does_not_exist():
    named = [
        (page.name, name)
        for page in PAGES
        for name in re.findall(
            r"(?:studies|benchmarks)/(?:results/)?[\w-]+\.(?:json|py)", page.read_text(encoding="utf-8")
        )
    ]
    assert [(page, name) for page, name in named if not (ROOT / name).exists()] == []
