"""Which changes of the code no test notices: `python -m tools.mutants --count 200 --seed 0 FILE=TEST[,TEST…] …`.

Each mutant is one change in one file: an operator, a comparison, a number or a condition. It is made in a copy of the checkout,
and the tests named for the file are run there until the first one fails. What survives is equivalent, or wants a test.
"""

import argparse
import ast
import collections
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARISONS |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is}


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """A node with one change."""
    other = copy.copy(node)
    if isinstance(other, ast.BinOp) and type(other.op) in OPERATORS:
        other.op = OPERATORS[type(other.op)]()
        yield other
    elif isinstance(other, ast.Compare) and len(other.ops) == 1 and type(other.ops[0]) in COMPARISONS:
        other.ops = [COMPARISONS[type(other.ops[0])]()]
        yield other
    elif isinstance(other, ast.Constant) and isinstance(other.value, int | float):
        other.value = not other.value if isinstance(other.value, bool) else other.value + 1
        yield other
    elif isinstance(other, ast.IfExp):
        other.body, other.orelse = other.orelse, other.body
        yield other
    elif isinstance(other, ast.UnaryOp) and isinstance(other.op, ast.USub | ast.Not):
        yield other.operand


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """What was changed, and the whole text with it."""
    tree = ast.parse(source)
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            for number, node in enumerate(value if isinstance(value, list) else [value]):
                for changed in changes(node) if isinstance(node, ast.expr) else ():

                    def put(new: object, field: str = field, number: int = number, parent: ast.AST = parent) -> None:
                        held = getattr(parent, field)
                        if isinstance(held, list):
                            held[number] = new
                        else:
                            setattr(parent, field, new)

                    put(changed)
                    text = ast.unparse(ast.fix_missing_locations(tree))
                    put(node)
                    yield f"line {node.lineno}: {ast.unparse(node)} -> {ast.unparse(changed)}", text


def passes(checkout: Path, tests: str) -> bool:
    """Whether the tests pass in the copy; one that never ends does not."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split(",")]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    try:
        return subprocess.run(command, cwd=checkout, capture_output=True, env=environment, timeout=900).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main() -> int:
    """Make and test a sample; 1 if any survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE=TESTS", help="a file, and the tests to run for it, with commas between")
    parser.add_argument("--count", type=int, default=200, help="how many mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    options = parser.parse_args()
    tests = dict(one.split("=", 1) for one in options.files)
    found = [(file, *mutant) for file in tests for mutant in mutants((ROOT / file).read_text())]
    sample = random.Random(options.seed).sample(found, min(options.count, len(found)))
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns(".git", ".venv*", ".cache", "__pycache__", "runs")
        checkout = shutil.copytree(ROOT, Path(folder) / "checkout", ignore=ignored)
        for chosen in sorted({tests[file] for file, *_ in sample}):
            if not passes(checkout, chosen):
                print(f"error: {chosen}: these tests fail without any change", file=sys.stderr)
                return 2
        for file, what, text in sample:
            before = (checkout / file).read_text()
            (checkout / file).write_text(text)
            outcome = "survived" if passes(checkout, tests[file]) else "killed"
            (checkout / file).write_text(before)
            counts[file][outcome] += 1
            print(f"{outcome}: {file}, {what}", flush=True)
    for file, count in counts.items():
        print(f"{file}: {count['killed']} killed, {count['survived']} survived")
    return int(any(count["survived"] for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
