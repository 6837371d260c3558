"""Sphinx configuration. The tables that describe code are written from the code by `_ext/tables.py` at each build."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from mmdp import __version__  # noqa: E402

project = "mmdp"
author = "The mmdp developers"
copyright = "2026, the mmdp developers. Apache-2.0"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinxcontrib.bibtex",
    "docstrings",
    "tables",
]
exclude_patterns = ["_build", "_generated", "_tables"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_fence_as_directive = ["math"]  # the spelling that GitHub renders too
myst_heading_anchors = 3

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

smartquotes = False
default_role = "literal"  # `name` in a docstring is code
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("Array", "Bool", "Float", "Int")}  # as in mmdp/checks.py
maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_attr_annotations = False
napoleon_use_ivar = True  # fields of dataclasses are described once
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"mmdp {version}"
html_static_path = ["_static"]
html_show_sourcelink = False
