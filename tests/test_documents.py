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


def cells(document):
    """The code of a notebook, all cells of it, without their options."""
    found = re.findall(r"```\{code-cell\}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    return "\n".join(re.sub(r"\A(:\w+:.*\n)+", "", cell) for cell in found)


# The build of the site runs all notebooks. Those that are quick are run here as well, but for one that tells JAX, by the
# environment, how many devices to make; `test_sharding.py` has its own.
QUICK = [document for document in DOCUMENTS if document == "docs/start.md" or document.startswith("docs/howto/")]
NOTEBOOKS = [(document, 0, cells(document)) for document in QUICK if cells(document) and "os.environ" not in cells(document)]


def test_there_are_examples():
    assert {document for document, _, _ in BLOCKS} >= {"README.md", "CONTRIBUTING.md", "docs/neighbours/hippo.md"}
    assert {document for document, _, _ in NOTEBOOKS} >= {"docs/start.md", "docs/howto/flax.md", "docs/howto/stream.md"}


@pytest.mark.parametrize(("document", "number", "block"), BLOCKS + NOTEBOOKS, ids=[f"{d}-{n}" for d, n, _ in BLOCKS + NOTEBOOKS])
def test_python_blocks_run(document, number, block):
    names = {}
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):  # as a user finds JAX
        exec(compile(block, f"{document}, block {number}", "exec"), names)
