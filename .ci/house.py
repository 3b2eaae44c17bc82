"""Count what outgrows the house, and fail when a count grows: `python .ci/house.py [ROOT]`.

Reads the code rooms and the pages, prints one line a rule with the places, and compares each
count with the bound in `house.toml` beside this file (with ROOT: in ROOT/.ci). `make lint` runs
it. Exit status: 0 within the bounds, 1 above one, 2 a bound is missing or is no number.

Stands alone (standard library only).
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("app", "agents", "models", "schemas")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md")
NOT_COUNTED = ("__init__.py", "__main__.py")
UNDER_APP = ("settings.py",)
"""Modules that may lie directly under app/."""
FOLDER = range(3, 15)
MODULE = range(40, 401)
COLUMNS = 100
SHOWN = 20
"""Places that a rule prints; the rest is a number."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is counted, and what to do when it is too many.

    Attributes:
        name: the key in house.toml.
        what: one phrase, for the report.
        cure: what whoever made it grow can do.
        places: where it was found, as `path: size`.
    """

    name: str
    what: str
    cure: str
    places: tuple[str, ...]


def examine(root: Path) -> list[Rule]:
    """Every rule with the places in this tree that break it."""
    sizes = {path: _lines(path) for path in _modules(root)}
    return [
        Rule(
            "folders_out_of_bounds",
            f"folders with under {FOLDER[0]} or over {FOLDER[-1]} modules",
            "Split the folder by what a newcomer looks for, or move its modules to a neighbour.",
            tuple(_folders(root, sizes)),
        ),
        Rule(
            "modules_under_app",
            "modules directly under app/",
            "Move the module into the folder of app/ that it belongs to.",
            tuple(
                _named(root, path)
                for path in sizes
                if path.parent == root / "app" and path.name not in UNDER_APP
            ),
        ),
        Rule(
            "short_modules",
            f"modules under {MODULE[0]} lines",
            "Join the module with the neighbour that has the same reason to change.",
            tuple(
                f"{_named(root, path)}: {lines}"
                for path, lines in sizes.items()
                if lines < MODULE[0]
            ),
        ),
        Rule(
            "long_modules",
            f"modules over {MODULE[-1]} lines",
            "Split the module: it has more than one reason to change.",
            tuple(
                f"{_named(root, path)}: {lines}"
                for path, lines in sizes.items()
                if lines > MODULE[-1]
            ),
        ),
        Rule(
            "long_doc_lines",
            f"lines of pages over {COLUMNS} columns",
            "Wrap the line; tables and fenced code do not count.",
            tuple(_long_lines(root)),
        ),
    ]


def judge(rules: list[Rule], bounds: dict[str, int]) -> tuple[list[str], bool]:
    """The report, line by line, and whether every count is within its bound."""
    report, fine = [], True
    for rule in rules:
        count, bound = len(rule.places), bounds[rule.name]
        report.append(f"{rule.name}: {count} of at most {bound} ({rule.what})")
        if count > bound:
            fine = False
            report += [f"    {place}" for place in rule.places[:SHOWN]]
            if count > SHOWN:
                report.append(f"    and {count - SHOWN} more")
            report.append(f"  TOO MANY: {count - bound} above the bound. {rule.cure}")
        elif count < bound:
            report.append(f"  The bound can be lowered: set {rule.name} = {count} in house.toml.")
    return report, fine


def read_bounds(file: Path, rules: list[Rule]) -> dict[str, int]:
    """The bounds of a house.toml.

    Raises:
        ValueError: a rule has no bound, a bound has no rule, or it is no whole number.
    """
    try:
        bounds = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{file} is missing: it holds the bounds") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is not TOML: {error}") from None
    names = {rule.name for rule in rules}
    if odd := names.symmetric_difference(bounds):
        raise ValueError(f"{file} has to name exactly {sorted(names)}; look at {sorted(odd)}")
    for name, bound in bounds.items():
        if type(bound) is not int or bound < 0:
            raise ValueError(f"{file}: {name} has to be a whole number, not {bound!r}")
    return bounds


def main(arguments: list[str]) -> int:
    """Print the report of a tree."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[1]
    rules = examine(root)
    try:
        bounds = read_bounds(root / ".ci" / "house.toml", rules)
    except ValueError as error:
        print(error)
        return 2
    report, fine = judge(rules, bounds)
    print("\n".join(report))
    return 0 if fine else 1


# -- what is in a tree -----------------------------------------------------------------------


def _modules(root: Path) -> Iterator[Path]:
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            if path.name not in NOT_COUNTED:
                yield path


def _folders(root: Path, modules: dict[Path, int]) -> Iterator[str]:
    folders: dict[Path, int] = {}
    for path in modules:
        folders[path.parent] = folders.get(path.parent, 0) + 1
    for folder, count in folders.items():
        # app/ has a rule of its own.
        if folder != root / "app" and count not in FOLDER:
            yield f"{_named(root, folder)}: {count}"


def _long_lines(root: Path) -> Iterator[str]:
    for pattern in PAGES:
        for page in sorted(root.glob(pattern)):
            fence = ""
            for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
                text = line.strip()
                if mark := _fence(text):
                    if not fence:
                        fence = mark
                    elif text.strip(fence[0]) == "" and len(mark) >= len(fence):
                        fence = ""
                elif not fence and not text.startswith("|") and len(line) > COLUMNS:
                    yield f"{_named(root, page)}:{number}: {len(line)}"


def _fence(text: str) -> str:
    """The run of backticks or tildes that begins a line, if it is a fence."""
    for sign in "`~":
        run = text[: len(text) - len(text.lstrip(sign))]
        if len(run) >= 3 and sign not in text[len(run) :]:
            return run
    return ""


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _named(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
