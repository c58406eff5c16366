"""`python -m tools.mutants`: each mutant is one change, and nothing else."""

import ast

from tools.mutants import mutants

SOURCE = """\
def f(a, b=2):
    if a < b and not a:
        return -a * 3
    return a if a == 0 else b
"""


def test_every_mutant_is_one_change():
    found = dict(mutants(SOURCE))
    assert set(found) == {
        "line 1: 2 -> 3",
        "line 2: a < b -> a <= b",
        "line 2: not a -> a",
        "line 3: -a * 3 -> -a / 3",
        "line 3: -a -> a",
        "line 3: 3 -> 4",
        "line 4: a if a == 0 else b -> b if a == 0 else a",
        "line 4: a == 0 -> a != 0",
        "line 4: 0 -> 1",
    }
    lines = ast.unparse(ast.parse(SOURCE)).splitlines()
    for text in found.values():
        assert sum(one != other for one, other in zip(text.splitlines(), lines, strict=True)) == 1
