"""Formulas as MathML, which browsers draw themselves: the pages need no script from elsewhere, and work without a network."""

from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert


def setup(app: Any) -> dict[str, Any]:
    """Register the renderer "native", which `html_math_renderer` chooses."""

    def inline(translator: Any, node: Any) -> None:
        translator.body.append(convert(node.astext()))
        raise SkipNode

    def block(translator: Any, node: Any) -> None:
        formula = convert(node.astext(), display="block")
        translator.body.append(translator.starttag(node, "div", CLASS="math-block") + formula + "</div>\n")
        raise SkipNode

    app.add_html_math_renderer("native", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
