"""What the documentation site promises, without building it: no name, page, figure or link is missing."""

import importlib
import inspect
import os.path
import pathlib
import re
import sys

import pytest

from tools.public_names import MODULES, public_names

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_extensions"))

from plain_docstrings import restructured  # noqa: E402

SOURCES = [  # what docs/conf.py includes
    *(path for path in DOCS.glob("**/*.md")),
    *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "README.md")),
    *(ROOT / "benchmarks").glob("*.md"),
    *(ROOT / "benchmarks" / "results").glob("*.md"),
    *(ROOT / "experiments").glob("*.md"),
    *(ROOT / "experiments" / "results").glob("**/*.md"),
    *(path for path in (ROOT / "experiments" / "studies").glob("**/*.md") if path.name != "TEMPLATE.md"),
]


def text_of(path):
    """The prose of a page: code has its own brackets."""
    text = re.sub(r"```(?!\{(toctree|image|eval-rst)\}).*?```", "", path.read_text(), flags=re.DOTALL)
    return re.sub(r"`[^`\n]+`", "`code`", text)


def listed():
    """The names that the reference documents, by module."""
    found = {module: [] for module in MODULES}
    for page in (DOCS / "reference").glob("*.md"):
        module = None
        for line in page.read_text().splitlines():
            if match := re.match(r"\.\. currentmodule:: (\S+)", line):
                module = match[1]
            elif match := re.match(r"\.\. auto\w+:: (\S+)", line):
                found[module].append(match[1])
    return found


def test_the_reference_lists_every_public_name_once():
    found = {module: sorted(names) for module, names in listed().items()}
    assert found == {module: sorted(names) for module, names in public_names().items()}, "docs/reference/ lists them by hand"


def pages_below(page, seen):
    """The pages that toctrees reach from one."""
    seen.add(page)
    for options in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL):
        for entry in options.splitlines():
            if not entry.strip() or entry.startswith(":"):
                continue
            target = re.sub(r"^.*<(.*)>$", r"\1", entry.strip())
            name = os.path.normpath(page.parent.relative_to(ROOT) / target)
            found = list(ROOT.glob(f"{name}.md"))
            assert found, f"{page.relative_to(ROOT)}: no page is {entry}"
            for path in found:
                if path not in seen:
                    pages_below(path, seen)
    return seen


def test_every_page_is_in_a_toctree():
    reached = pages_below(DOCS / "index.md", set())
    assert set(SOURCES) - reached == {ROOT / "README.md"}


def anchors(path):
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_images_exist(path):
    text = text_of(path)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"```\{image\} (\S+)", text)
    for target in targets:
        if re.match(r"\w+:", target):  # of another site
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(there), f"{target} is not a heading there: {sorted(anchors(there))}"


def test_the_gallery_has_every_committed_figure():
    gallery = (DOCS / "gallery.md").read_text()
    figures = [*(ROOT / "experiments").glob("results/**/*.png"), *(ROOT / "benchmarks").glob("results/*.png")]
    assert figures
    assert [str(figure.relative_to(ROOT)) for figure in figures if f"(../{figure.relative_to(ROOT)})" not in gallery] == []


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        ("See `Momentum`s of *args.", "See :py:obj:`Momentum <m.Momentum>`\\ s of \\*args."),
        ("`d_t = u_t`, then\n`v` and h_ .", "``d_t = u_t``, then\n``v`` and h\\_ ."),
        ("Text:\n\n    a_t = b\n\n    c_t = d\n\nmore", "Text:\n\n::\n\n    a_t = b\n\n    c_t = d\n\nmore"),
        ("Words\n- one\n- two", "Words\n\n- one\n- two"),
        ("Either\n\n  `a`: one\n    thing\n  `b`: another", "Either\n\n- ``a``: one\n  thing\n- ``b``: another"),
        (
            'method: how.\n  "a": one\n  thing\n  "b": another\nnext',
            'method: how.\n\n  - "a": one\n    thing\n  - "b": another\nnext',
        ),
        ("State: `h`.\nSource: a book.", "\n**State:** ``h``.\n\n**Source:** a book."),
        (">>> f(*x)\n1", ">>> f(*x)\n1"),
    ],
    ids=["link", "code", "equation", "list", "indented list", "choices", "labels", "doctest"],
)
def test_docstrings_become_restructured_text(plain, expected):
    names = {"Momentum": "m.Momentum"}
    assert "\n".join(restructured(plain.split("\n"), names.get)).rstrip() == expected


def test_every_public_docstring_is_translated_whole():
    """No word is lost, and no single backtick is left for docutils to guess at."""
    for module, names in public_names().items():
        for name in names:
            plain = inspect.cleandoc(getattr(importlib.import_module(module), name).__doc__ or "")
            new = "\n".join(restructured(plain.split("\n")))
            assert not re.search(r"(?<!`)`(?!`)", new.replace("``", "")), name
            words, kept = (re.sub(r"[\\*`:-]", "", text).split() for text in (plain, new.replace("\\ ", "")))
            assert kept == words, name
