"""`.ci/house.py` on small trees: each rule is seen to fail, and to say what to do."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci" / "house.py"
NAMES = tuple(tomllib.loads((ROOT / ".ci" / "house.toml").read_text()))
LONG = "word " * 21
"""105 columns."""


def house(root: Path, **bounds: int) -> tuple[int, str]:
    """Exit status and report of a tree whose bounds are 0 but for those given."""
    lines = [f"{name} = {bounds.get(name, 0)}" for name in NAMES]
    (root / ".ci").mkdir(exist_ok=True)
    (root / ".ci" / "house.toml").write_text("\n".join(lines))
    return run(root)


def run(root: Path) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(root)], capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    return ran.returncode, ran.stdout


def write(root: Path, files: Mapping[str, int | str]) -> None:
    """Files by path: a text, or a number of lines."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else "x = 1\n" * content)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small house in order: every count is 0."""
    write(
        tmp_path,
        {f"{room}/{name}.py": 40 for room in ("agents", "models", "schemas") for name in "abc"}
        | {f"{room}/__init__.py": 1 for room in ("app", "agents", "models", "schemas")}
        | {"app/settings.py": 400, "README.md": "# A house\n", "docs/page.md": "A page.\n"},
    )
    return tmp_path


def test_a_house_in_order_is_within_every_bound(tree):
    status, report = house(tree)

    assert status == 0
    assert report.count(": 0 of at most 0") == len(NAMES) == 5


@pytest.mark.parametrize(
    ("files", "rule", "place", "cure"),
    [
        ({"models/few/a.py": 40, "models/few/b.py": 40}, "folders_out_of_bounds",
         "models/few: 2", "move its modules"),
        ({f"models/many/m{n}.py": 40 for n in range(15)}, "folders_out_of_bounds",
         "models/many: 15", "Split the folder"),
        ({"app/helpers.py": 40}, "modules_under_app", "app/helpers.py", "into the folder"),
        ({"models/small.py": 39}, "short_modules", "models/small.py: 39", "neighbour"),
        ({"models/large.py": 401}, "long_modules", "models/large.py: 401", "Split the module"),
        ({"README.md": LONG}, "long_doc_lines", "README.md:1: 105", "Wrap the line"),
        ({"CONTRIBUTING.md": f"\n{LONG}"}, "long_doc_lines", "CONTRIBUTING.md:2: 105", "Wrap"),
        ({"docs/page.md": LONG}, "long_doc_lines", "docs/page.md:1: 105", "Wrap the line"),
    ],
)  # fmt: skip
def test_each_rule_fails_on_growth_and_says_where_and_what_to_do(tree, files, rule, place, cure):
    write(tree, files)

    status, report = house(tree)

    assert status == 1
    assert f"{rule}: 1 of at most 0" in report
    assert report.count("TOO MANY: 1 above the bound.") == 1
    assert f"    {place}\n" in report
    assert cure in report
    assert house(tree, **{rule: 1})[0] == 0


@pytest.mark.parametrize(
    "files",
    [
        {f"models/full/m{n}.py": 400 for n in range(14)},
        {"models/few/a.py": 40, "models/few/b.py": 40, "models/few/c.py": 40},
        {"app/__main__.py": 401, "models/only/__init__.py": 1},
        {"README.md": f"| {LONG} |\n```text\n{LONG}\n```\n~~~~\n```\n{LONG}\n~~~~\n"},
        {"README.md": "x" * 100, "docs/deeper/page.md": LONG, "CHANGELOG.md": LONG},
    ],
)
def test_what_is_at_a_bound_or_is_not_counted_is_fine(tree, files):
    write(tree, files)

    status, report = house(tree)

    assert status == 0, report


def test_a_fence_ends_where_it_ends(tree):
    write(tree, {"README.md": f"```\n{LONG}\n```\n{LONG}\n"})

    assert "README.md:4: 105" in house(tree)[1]


def test_many_places_are_a_number(tree):
    write(tree, {"README.md": f"{LONG}\n" * 25})

    assert "README.md:20: 105\n    and 5 more\n" in house(tree)[1]


def test_a_bound_that_can_be_lowered_is_named(tree):
    status, report = house(tree, short_modules=3)

    assert status == 0
    assert "The bound can be lowered: set short_modules = 0 in house.toml." in report


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "is missing"),
        ("short_modules = ", "is not TOML"),
        ("short_modules = 3", "has to name exactly"),
        ("\n".join(f"{name} = -1" for name in NAMES), "a whole number, not -1"),
        ("\n".join(f"{name} = true" for name in NAMES), "a whole number, not True"),
    ],
)
def test_bounds_that_are_none_are_an_error_and_not_a_pass(tree, text, says):
    if text is not None:
        write(tree, {".ci/house.toml": text})

    status, report = run(tree)

    assert status == 2
    assert says in report


def test_this_house_is_within_its_bounds():
    status, report = run(ROOT)

    assert status == 0, report
