"""The documentation site. `make docs` builds it: the sources are this folder and a few Markdown files beside it in the checkout.

Sphinx's source directory is the root of the checkout, so that a link between two documents is the same on the site and in the
repository: `sphinx-build -c docs . build/docs`.
"""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs" / "_extensions"))
sys.path.insert(0, str(ROOT))

import momentum_rnn_jax  # noqa: E402

# Notebooks run in processes of their own, in temporary folders: they find `experiments` too, which is not installed.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ.setdefault("JAX_PLATFORMS", "cpu")

project = "momentum_rnn_jax"
author = "The momentum_rnn_jax authors"
copyright = author
version = release = momentum_rnn_jax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "native_math",
    "plain_docstrings",
    "plain_signatures",
]

# --- sources
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "benchmarks/results/*",
    "experiments/README.md",
    "experiments/results/**",
    "experiments/studies/**",
]
exclude_patterns = [
    ".*",
    "**/__pycache__",
    "**/TEMPLATE.md",
    "build",
    "docs/_*",
    "momentum_rnn_jax",
    "native",
    "runs",
    "tests",
    "tools",
]
highlight_language = "none"  # what is indented in the documents is an equation or a shell command
default_role = "code"
smartquotes_action = "D"  # dashes alone: "auto" is a string to type

# --- Markdown and notebooks
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 1200  # a cell takes seconds, and many times as long beside other jobs
nb_merge_streams = True

# --- reference
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries_show_parents = "hide"

# --- pages
html_math_renderer = "native"
html_theme = "sphinx_book_theme"
html_title = "momentum_rnn_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": False,
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
}
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
