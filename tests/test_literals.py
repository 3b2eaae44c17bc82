"""Nothing that decides about a person stands in the code: the code is read for it.

Scanned is what serves: the learner, the teacher moves, the agents, and the emotion model's
way from a text to a reading. Settings and what trains or measures are named below and left
out. In the rest there may be

    no float but 0.0 and 1.0, wherever it stands
    no integer beyond -1..2 that is compared, calculated with, or named
    no quotient of two literals, no table of numbers
    no class of emotion, by member or by name, and no list of intervention levels
    no choice between words in a regular expression: it would decide in one language

except what literals_allowed.py lists, each with its reason; an entry that nothing needs
fails, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from schemas.topics.emotions import Emotion
from tests.literals_allowed import ALLOWED

ROOT: Final = Path(__file__).parent.parent

SERVING: Final = (
    "agents",
    "models.learner",
    "models.tutor.context",
    "models.tutor.modes",
    "models.tutor.moves",
    "models.tutor.safety",
    "app.tutor",
    "models.emotion.serving",
    "models.emotion.language",
    "models.emotion.reading",
    "models.emotion.hints",
    "models.emotion.network.network",
    "models.ids",
    "models.judged",
)

SETTINGS: Final = {
    "models.learner.config",
    "models.learner.parameters",
    "models.learner.behaviour.serving.config",
    "models.learner.recommending.serving.settings",
    "models.tutor.context.config",
    "models.tutor.modes.config",
    "models.tutor.safety.config",
    "app.tutor.config",
}
"""An operator's to change; every number there has a name and a description."""

TRAINING: Final = {
    "models.learner.nets.serving.card",
    "models.learner.behaviour.training",
    "models.learner.nets.fitting",
    "models.learner.recommending.offline",
    "models.tutor.moves.serving.card",
    "models.tutor.moves.training",
}
"""How artefacts came about and are measured; what they say is in the artefacts."""

FREE_FLOATS: Final = {0.0, 1.0}
"""Nothing and everything: the ends of a probability, the neutral elements."""
FREE_INTEGERS: Final = {-1, 0, 1, 2}
UNITS: Final = {60, 1000}
"""Seconds in a minute, milliseconds in a second: free as a factor, not in a comparison."""


@dataclass(frozen=True, slots=True)
class Found:
    """A literal that may decide."""

    place: str
    literal: str
    line: int
    why: str


class _Reader(ast.NodeVisitor):
    """Collects what a module may not hold. Docstrings and annotations are not code."""

    def __init__(self, module: str) -> None:
        self.found: list[Found] = []
        self._module = module
        self._names: list[str] = []
        self._constant: str | None = None
        self._in_enum = False

    # -- where we are ---------------------------------------------------------------------

    def _report(self, node: ast.expr | ast.pattern, literal: str, why: str) -> None:
        name = ".".join(self._names) or self._constant or "<module>"
        if self._names and self._constant and self._constant.isupper():
            name = f"{name}.{self._constant}"
        self.found.append(Found(f"{self._module}:{name}", literal, node.lineno, why))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self._in_enum = self._in_enum, any("Enum" in ast.unparse(b) for b in node.bases)
        self._body(node.name, node)
        self._in_enum = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._defaults(node.args)
        self._body(node.name, node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._defaults(node.args)
        self._body(node.name, node)

    def _body(self, name: str, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._names.append(name)
        for statement in (*node.decorator_list, *node.body):
            self.visit(statement)
        if not isinstance(node, ast.ClassDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    self.visit(default)
        self._names.pop()

    def _defaults(self, arguments: ast.arguments) -> None:
        for default in (*arguments.defaults, *arguments.kw_defaults):
            self._integers(default, "is a default", frozenset())

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._assign(node.target, node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._assign(node.targets[0], node.value)

    def _assign(self, target: ast.expr, value: ast.expr | None) -> None:
        if value is None:
            return
        outer = self._constant
        if isinstance(target, ast.Name):
            self._constant = target.id
        elif isinstance(target, ast.Tuple):
            self._constant = ",".join(ast.unparse(one) for one in target.elts)
        if not self._in_enum:
            self._integers(value, "is named", frozenset())
            if isinstance(value, ast.Tuple | ast.List | ast.Set):
                for one in value.elts:
                    self._integers(one, "is named", frozenset())
        self.visit(value)
        self._constant = outer

    # -- what may not be ------------------------------------------------------------------

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, float) and node.value not in FREE_FLOATS:
            self._report(node, repr(node.value), "a number in the code")
        if isinstance(node.value, str) and _CHOICE.search(node.value):
            self._report(node, "words", "a choice between words")

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)  # else a docstring

    def visit_Compare(self, node: ast.Compare) -> None:
        for one in (node.left, *node.comparators):
            self._integers(one, "is compared with", frozenset())
            self._class_by_name(one)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        is_factor = isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv)
        for one in (node.left, node.right):
            self._integers(one, "is calculated with", frozenset(UNITS if is_factor else ()))
        left, right = _number(node.left), _number(node.right)
        if isinstance(node.op, ast.Div) and left is not None and right is not None:
            self._report(node, ast.unparse(node), "a quotient of literals")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._integers(node.value, "is calculated with", frozenset(UNITS))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == "Emotion" and node.attr.isupper():
            self._report(node, ast.unparse(node), "a class of emotion in the code")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._class_by_name(node.slice)
        self.visit(node.value)
        self.visit(node.slice)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
            self._class_by_name(node.args[0])
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        numbers = [value for value in node.values if _number(value) is not None]
        if len(numbers) > 1:
            self._report(node, "table", "a table of numbers")
        self._class_list(node, [key for key in node.keys if key is not None])
        self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        self._class_list(node, node.elts)
        self.generic_visit(node)

    def visit_List(self, node: ast.List) -> None:
        self._class_list(node, node.elts)
        self.generic_visit(node)

    def visit_Set(self, node: ast.Set) -> None:
        self._class_list(node, node.elts)
        self.generic_visit(node)

    # -- parts ----------------------------------------------------------------------------

    def _integers(self, node: ast.expr | None, how: str, units: frozenset[int]) -> None:
        value = None if node is None else _number(node)
        if node is None or not isinstance(value, int):
            return
        if value not in FREE_INTEGERS and value not in units:
            self._report(node, repr(value), f"an integer that {how}")

    def _class_by_name(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and node.value in _CLASSES:
            self._report(node, repr(node.value), "a class of emotion in the code")

    def _class_list(self, node: ast.expr, parts: list[ast.expr]) -> None:
        names = [one.value for one in parts if isinstance(one, ast.Constant)]
        if sum(name in _CLASSES for name in names) > 1:
            self._report(node, "classes", "a list of classes of emotion")
        levels = [one for one in parts if ast.unparse(one).startswith("Level.")]
        if len(levels) > 1:
            self._report(node, "levels", "a list of intervention levels")


_CHOICE: Final = re.compile(r"[a-z]{2,}[a-z ?()']*\|[a-z ?()':]*[a-z]{2,}")
"""`but|though`: two words or more of two letters or more, in whatever stands around them."""
_CLASSES: Final = {emotion.value for emotion in Emotion}


def _number(node: ast.expr) -> int | float | None:
    """The value of a literal, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return None if isinstance(node.value, bool) else node.value
    return None


def literals(source: str, module: str = "snippet") -> list[Found]:
    """Every literal of a module that may decide, before anything is allowed."""
    reader = _Reader(module)
    reader.visit(ast.parse(source))
    return reader.found


def _within(name: str, packages: set[str] | tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _all_modules() -> Iterator[tuple[str, Path]]:
    for room in ("agents", "app", "models"):
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES: Final = dict(_all_modules())
SCANNED: Final = {
    name: path
    for name, path in MODULES.items()
    if _within(name, SERVING) and not _within(name, SETTINGS | TRAINING)
}


def _exists(name: str) -> bool:
    return any(_within(module, {name}) for module in MODULES)


def _source(name: str) -> str:
    return SCANNED[name].read_text(encoding="utf-8")


def _is_allowed(found: Found) -> bool:
    return any(
        one.place == found.place and (found.literal in one.literals or "*" in one.literals)
        for one in ALLOWED
    )


def test_there_is_something_to_read() -> None:
    served = {"models.learner.update", "agents.learner", "models.emotion.serving.pipeline"}

    assert served <= SCANNED.keys()
    assert not {name for name in SETTINGS | TRAINING if not _exists(name)}


@pytest.mark.parametrize("name", SCANNED)
def test_no_literal_decides_about_a_person(name: str) -> None:
    wrong = [found for found in literals(_source(name), name) if not _is_allowed(found)]

    assert not wrong, "\n".join(
        f"{found.place}, line {found.line}: {found.literal}: {found.why}; make it a setting, "
        "train it, or give the reason in literals_allowed.py"
        for found in wrong
    )


def test_every_exception_is_needed() -> None:
    found = {(one.place, one.literal) for name in SCANNED for one in literals(_source(name), name)}
    places = {place for place, _ in found}

    idle = [
        f"{one.place} {literal}"
        for one in ALLOWED
        for literal in one.literals
        if (one.place, literal) not in found and not (literal == "*" and one.place in places)
    ]
    assert not idle


@pytest.mark.parametrize("name", SCANNED)
def test_no_constant_of_the_training_serves(name: str) -> None:
    """A number must not come in by the door of a module that is not read."""
    constants = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(_source(name)))
        if isinstance(node, ast.ImportFrom) and _within(node.module or "", TRAINING)
        for alias in node.names
        if alias.name.lstrip("_").isupper()
    ]
    assert not constants


# -- the test itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "planted",
    [
        "def needs_help(state):\n    return state.valence < 0.35",
        "def needs_help(state):\n    return -0.35 > state.slope",
        "def load(a, b):\n    return 0.7 * a + b",
        "def low(value):\n    return value < 1 / 3",
        "def low(value):\n    return min(value, 0.9)",
        "def low(value, threshold=0.4):\n    return value < threshold",
        "def low(value, *, hints=3):\n    return value > hints",
        "def stuck(hints):\n    return hints >= 3",
        "def tired(minutes):\n    return minutes > 60",
        "def tired(total):\n    total += 5",
        "THRESHOLD = 0.5",
        "THRESHOLD: Final = 25",
        "BOUNDS = (1, 5, 9)",
        "class Policy:\n    least = 0.2",
        "at = lambda value: value > 0.2",
        "VALENCE = {Emotion.JOY: 0.9}",
        "def sad(mix):\n    return mix[Emotion.SADNESS]",
        "def sad(mix):\n    return mix.get('sadness')",
        "def sad(mix):\n    return mix['sadness']",
        "def sad(reading):\n    return reading.top == 'sadness'",
        "NEGATIVE = ['sadness', 'anger']",
        "NEGATIVE = frozenset({'sadness', 'anger'})",
        "WEIGHTS = {'a': 1, 'b': 2}",
        "URGENT = (Level.SIGNIFICANT, Level.CRITICAL)",
        "match value:\n    case 0.3:\n        pass",
        "NEGATION = re.compile(r'\\b(?:not|never)$')",
        "def negated(text):\n    return re.search('(do not|never) ', text) is not None",
        "FILLERS = '(?:really' '|going to)'",
    ],
)
def test_what_is_planted_is_found(planted: str) -> None:
    assert literals(planted)


@pytest.mark.parametrize(
    "innocent",
    [
        "def mean(total, n):\n    return total / n if n > 0 else 0.0",
        "def trust(weight, half):\n    return weight / (weight + half)",
        "def milliseconds(seconds):\n    return round(seconds * 1000)",
        "def first(items):\n    return items[3:7]",
        "class Measure(IntEnum):\n    CORRECT = 6",
        "def level(need):\n    return need is not Level.NONE",
        "def prior(settings):\n    return settings.prior",
        "def number(text):\n    'Of an a|b|c.'\n    return re.search(r'[a-z]|[0-9]+', text)",
        "def squared(x):\n    'Below 0.5 it is small.'\n    return x**2",
    ],
)
def test_what_decides_nothing_is_left_alone(innocent: str) -> None:
    assert not literals(innocent)


def test_an_exception_holds_for_its_place_and_literal_only() -> None:
    one = ALLOWED[0]
    (literal,) = one.literals

    assert _is_allowed(Found(one.place, literal, 1, ""))
    assert not _is_allowed(Found(one.place, "0.35", 1, ""))
    assert not _is_allowed(Found(f"{one.place}2", literal, 1, ""))
