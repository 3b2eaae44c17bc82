"""The pages: each has a reader, is in the index, and links to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = {path.name: path for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS.values()]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Without fenced code, where brackets are code."""
    return re.sub(r"^```.*?^```$", "", text(page), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`, as the host of the repository spells headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return set(plain)


def broken(page: Path) -> list[str]:
    """Links to a file or a heading that is not there."""
    found = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        missing = not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        )
        if missing:
            found.append(link)
    return found


@pytest.mark.parametrize("name", DOCS)
def test_a_page_says_first_who_it_is_for(name):
    heading, first = text(DOCS[name]).splitlines()[:2]

    assert heading.startswith("# ")
    assert first.startswith("This page is for ")


def test_the_index_lists_every_page_once():
    listed = re.findall(r"^\| \[(\S+)\]\(\1\) \|", text(DOCS["README.md"]), re.MULTILINE)

    assert sorted(listed) == sorted(set(DOCS) - {"README.md"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `b`: c\n[1](page.md#a-b-c) [2](#gone) [3](gone.md) [4](https://h/x#y)\n")

    assert broken(page) == ["#gone", "gone.md"]
