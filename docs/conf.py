"""Sphinx configuration: MyST pages and notebooks, API pages from the docstrings."""

import re
from importlib.metadata import version as installed_version

project = "wdno"
author = "The wdno developers"
copyright = "2026, The wdno developers"  # noqa: A001 (Sphinx's name)
version = release = installed_version("wdno")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
templates_path = ["_templates"]

# API pages: one a module, in source order, types where the signature has them.
autosummary_generate = True
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Attributes are described by their class; as fields they would be declared twice.
napoleon_use_ivar = True
napoleon_attr_annotations = False

# Notebooks run in the build, so that what a page shows is what the code does.
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_execution_raise_on_error = True
myst_enable_extensions = [
    "amsmath",
    "colon_fence",
    "deflist",
    "dollarmath",
    "fieldlist",
]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "wdno"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_show_sourcelink = False


def skip_generated_members(
    app: object, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Leave out the fields of NamedTuples, which their class already describes."""
    if (getattr(member, "__doc__", None) or "").startswith("Alias for field number"):
        return True
    return None


# Literals and doctest lines stay; a star that opens a shape (`*grid`) and bars around
# a magnitude (`|u|`) are no markup.
LITERAL_OR_MARKUP = re.compile(
    r"``.*?``|^\s*(?:>>>|\.\.\.).*?$|(?<=[\s(])\*(?=\w+[,)\s])|\|(?=\w+\|)|(?<=\w)\|",
    re.DOTALL | re.MULTILINE,
)


def escape_mathematics(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Let docstrings write shapes and magnitudes as mathematics does."""

    def escape(match: re.Match[str]) -> str:
        return "\\" + match[0] if match[0] in ("*", "|") else match[0]

    lines[:] = LITERAL_OR_MARKUP.sub(escape, "\n".join(lines)).split("\n")


def setup(app) -> None:
    app.connect("autodoc-skip-member", skip_generated_members)
    # Before napoleon, which turns sections into reStructuredText.
    app.connect("autodoc-process-docstring", escape_mathematics, priority=400)
