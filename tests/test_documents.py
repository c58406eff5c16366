"""The Python in the documents runs as it stands."""

import pathlib
import re

import jax
import pytest

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/**/*.md")))]
BLOCKS = [
    (document, number, block)
    for document in DOCUMENTS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL))
]


def test_there_are_examples():
    assert {document for document, _, _ in BLOCKS} >= {"README.md", "CONTRIBUTING.md", "docs/neighbours/hippo.md"}


@pytest.mark.parametrize(("document", "number", "block"), BLOCKS, ids=[f"{d}-{n}" for d, n, _ in BLOCKS])
def test_python_blocks_run(document, number, block):
    names = {}
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):  # as a user finds JAX
        exec(compile(block, f"{document}, block {number}", "exec"), names)
