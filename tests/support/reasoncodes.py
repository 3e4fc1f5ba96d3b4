"""Where the operator's code gives a reason code, and where a test expects one: both read off the source.

A test *expects* a code when the code, as `Reason.X` or by its value, stands

- in an `assert`,
- in the arguments of a call that fails by itself when it does not come: `pytest.raises(match=...)`, `wait_reason(...)`
  and whatever else begins with wait, assert or expect,
- in a row of `pytest.mark.parametrize`, of a table that it names, or of a `Case(...)`: what a case should give.

A code that a test only puts in (`ChainError(Reason.X)`, `Decision(...)`) is not expected by that.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from cnichain.api.reasons import Reason

ROOT = Path(__file__).resolve().parents[2]
OPERATOR = ROOT / "operator" / "cnichain"
TESTS = ROOT / "tests"
BY_VALUE = {reason.value: reason for reason in Reason}
WORD = re.compile(r"[A-Z][A-Za-z0-9]+")
FAILS_BY_ITSELF = re.compile(r"^_?(wait|assert|expect|raises|case)", re.IGNORECASE)
CONTAINERS = (
    ast.Tuple, ast.List, ast.Set, ast.Dict, ast.JoinedStr, ast.FormattedValue, ast.Starred, ast.keyword,
    ast.GeneratorExp, ast.ListComp, ast.comprehension,
)  # fmt: skip


def given() -> dict[Reason, set[str]]:
    """Each code that the operator's code names, by file and line, outside of the registry itself. The catalogue's data
    name codes as well: those of pairs that do not go together."""
    found: dict[Reason, set[str]] = defaultdict(set)
    for path in sorted(OPERATOR.rglob("*.py")):
        if path.name.startswith("reasons"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (reason := _member(node)) is not None:
                found[reason].add(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    for path in sorted(OPERATOR.rglob("*.yaml")):
        for match in re.finditer(r"\breason: ([A-Z]\w+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            found[Reason(match[1])].add(str(path.relative_to(ROOT)))
    return dict(found)


def expected() -> dict[Reason, set[str]]:
    """Each code that a test expects, by file and line."""
    found: dict[Reason, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in _expectations(tree):
            for reason in _codes(node):
                found[reason].add(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    return dict(found)


def _member(node: ast.AST) -> Reason | None:
    """The member that `Reason.X` names."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason":
        return Reason.__members__.get(node.attr)
    return None


def _codes(node: ast.AST) -> Iterator[Reason]:
    """The codes that a literal names: `Reason.X`, or a text with the value in it."""
    if (reason := _member(node)) is not None:
        yield reason
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from (BY_VALUE[word] for word in WORD.findall(node.value) if word in BY_VALUE)


def _expectations(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node of a test file that is, or is part of, something that a test expects."""
    tables = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield from ast.walk(node.test)
        elif isinstance(node, ast.Call) and FAILS_BY_ITSELF.match(_name(node.func)):
            yield from _literals([*node.args, *node.keywords])
        elif isinstance(node, ast.Call) and _name(node.func) == "parametrize":
            yield from _literals(node.args)
            for name in {inner.id for part in node.args for inner in ast.walk(part) if isinstance(inner, ast.Name)}:
                yield from _literals([tables[name]] if name in tables else [])


def _literals(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes and what is in them, as far as they are literals: arguments of other calls are not."""
    for node in nodes:
        yield node
        if isinstance(node, ast.Lambda):
            yield from ast.walk(node.body)  # what is waited for
        elif isinstance(node, CONTAINERS):
            yield from _literals(ast.iter_child_nodes(node))
        elif isinstance(node, ast.Call) and _name(node.func) == "param":
            yield from _literals(node.args)


def _name(function: ast.expr) -> str:
    """The last part of what is called."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
