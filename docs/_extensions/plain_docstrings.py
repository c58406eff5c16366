"""Docstrings of this library as reStructuredText.

They are plain text in Google's layout: `code` stands in single backticks, an indented paragraph is an equation or a picture, and
words such as h_t or *args need no escapes. `restructured` translates all that; napoleon then takes the sections.
"""

import re
from collections.abc import Callable
from typing import Any

from tools.public_names import public_names

LABELS = re.compile(r"^(Core|Drive|Parameters|Source|State|Variables): ")
LIST_ITEM = re.compile(r"^(-|\d+\.) ")
CHOICE = re.compile(r'^\s+"\w+": ')
CODE = re.compile(r"(`[^`]+`)")


def restructured(lines: list[str], link: Callable[[str], str | None] = lambda code: None) -> list[str]:
    """The lines of a docstring in reStructuredText.

    Args:
      lines: of a docstring, without common indentation.
      link: the full name of the object that a piece of code names; None where it names none.
    """
    new: list[str] = []
    lines = _choices_as_lists(lines)
    base = 0  # the indentation of the text that a literal block follows
    for kind, block in _blocks(lines):
        if kind == "doctest":
            new += block
        elif kind == "literal":
            new += [" " * base + "::", "", *block]
        else:
            base = _indent(block[-1])
            for i, line in enumerate(_inline("\n".join(block), link).split("\n")):
                text = line.strip()
                previous = block[i - 1].strip() if i else ""
                starts_list = bool(LIST_ITEM.match(text) and previous and not _continues_list(block, i))
                if LABELS.match(text) or starts_list:
                    new.append("")
                new.append(LABELS.sub(r"**\1:** ", line))
        new.append("")
    return new


def _blocks(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The paragraphs, each with its kind: "text", "doctest", or "literal" for one that is indented below another."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line.rstrip())
        else:
            paragraphs.append([])
    blocks: list[tuple[str, list[str]]] = []
    for block in filter(None, paragraphs):
        if block[0].lstrip().startswith(">>>"):
            kind = "doctest"
        elif block[0].startswith("  `"):  # an indented list, whose entries begin with code
            indent = _indent(block[0])
            block = [f"- {line[indent:]}" if _indent(line) == indent else f"  {line[indent:].lstrip()}" for line in block]
            kind = "text"
        elif blocks and _indent(block[0]) >= _base(blocks) + (2 if blocks[-1][1][-1].endswith((":", ";")) else 4):
            kind = "literal"
        else:
            kind = "text"
        if kind == "literal" and blocks[-1][0] == "literal":
            blocks[-1][1].extend(["", *block])
        else:
            blocks.append((kind, block))
    return blocks


def _choices_as_lists(lines: list[str]) -> list[str]:
    """An argument's values, where each begins a line as `"stepwise": …`, as a list of them."""
    new: list[str] = []
    indent: int | None = None  # of the list that the line before is in
    for line in lines:
        if indent is not None and (not line.strip() or _indent(line) < indent):
            indent = None
        if CHOICE.match(line):
            new += [] if indent is not None else [""]
            indent = _indent(line)
            new.append(f"{' ' * indent}- {line.strip()}")
        else:
            new.append(line if indent is None else f"  {line}")
    return new


def _base(blocks: list[tuple[str, list[str]]]) -> int:
    """The indentation of the text that a paragraph follows."""
    return next((_indent(block[-1]) for kind, block in reversed(blocks) if kind != "literal"), 0)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _continues_list(block: list[str], i: int) -> bool:
    return any(LIST_ITEM.match(line.strip()) for line in block[:i])


def _inline(text: str, link: Callable[[str], str | None]) -> str:
    """Code in double backticks or as a link, and the rest escaped where reStructuredText would see markup."""
    parts = CODE.split(text)
    new = []
    for i, part in enumerate(parts):
        if not i % 2:
            part = re.sub(r"\*(?=\S)|(?<=\S)\*", r"\\*", part)
            part = re.sub(r"(?<=\w)_(?!\w)|\|(?=\S)", lambda match: "\\" + match[0], part)
            new.append(part)
            continue
        code = " ".join(part[1:-1].split())
        target = link(code)
        glued_left = parts[i - 1][-1:].isalnum()
        glued_right = parts[i + 1][:1].isalnum()
        role = f":py:obj:`{code} <{target}>`" if target else f"``{code}``"
        new.append(("\\ " if glued_left else "") + role + ("\\ " if glued_right else ""))
    return "".join(new)


def setup(app: Any) -> dict[str, Any]:
    """Translate every docstring before napoleon reads it."""
    names = public_names()

    def process(app: Any, what: str, where: str, obj: Any, options: Any, lines: list[str]) -> None:
        lines[:] = restructured(lines, lambda code: _target(code, where, names))

    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _target(code: str, where: str, names: dict[str, list[str]]) -> str | None:
    """The documented object that a name in the docstring of `where` means, if any: of its own module first."""
    for module in sorted(names, key=lambda module: not where.startswith(f"{module}.") or module == "momentum_rnn_jax"):
        full = f"{module}.{code}"
        if code in names[module]:
            return None if full == where else full
    return None
