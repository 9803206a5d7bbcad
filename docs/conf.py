"""Sphinx configuration: MyST pages and notebooks, API pages from the docstrings."""

import importlib
import inspect
import pkgutil
import re
from importlib.metadata import version as installed_version

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

import wdno

project = "wdno"
author = "The wdno developers"
copyright = "2026, The wdno developers"  # noqa: A001 (Sphinx's name)
version = release = installed_version("wdno")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
templates_path = ["_templates"]


def exported(package: str) -> list[tuple[str, object]]:
    """Classes and functions that a package exports, or `wdno` for it, by name."""
    module = importlib.import_module(package)
    found = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    found |= {name: getattr(wdno, name) for name in wdno.__all__}
    return [
        (name, value)
        for name, value in sorted(found.items())
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith(f"{package}.")
    ]


def is_private(value: object) -> bool:
    return any(part.startswith("_") for part in value.__module__.split("."))


def public_names(package: str) -> list[str]:
    """Where each exported name is described: in its module, or with the package."""
    return [
        f"{package}.{name}"
        if is_private(value)
        else f"{value.__module__}.{value.__qualname__}"
        for name, value in exported(package)
    ]


def names_of_private_modules(package: str) -> list[dict[str, str]]:
    return [
        {"name": name, "kind": "class" if inspect.isclass(value) else "function"}
        for name, value in exported(package)
        if is_private(value)
    ]


# API pages: one a module, in source order, types where the signature has them.
autosummary_generate = True
packages = [
    module.name
    for module in pkgutil.walk_packages(wdno.__path__, "wdno.")
    if module.ispkg and not module.name.startswith("wdno.pretrained")
]
autosummary_context = {
    "public_names": {name: public_names(name) for name in packages},
    "names_of_private_modules": {
        name: names_of_private_modules(name) for name in packages
    },
}
del packages
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
nb_execution_timeout = 600
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

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "wdno"
html_context = {"default_mode": "auto"}  # without it, a first visit logs an error
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


def mathml(formula: nodes.Element, display: str) -> str:
    """A formula as MathML, which browsers draw without a script or the network."""
    drawn = convert(formula.astext().strip(), display=display)
    if unknown := re.findall(r"\\\w+", drawn):
        where = {"location": formula, "type": "formula"}
        logging.getLogger(__name__).warning("no MathML for %s", unknown, **where)
    return drawn


def visit_math(translator, node: nodes.math) -> None:
    translator.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def visit_displaymath(translator, node: nodes.math_block) -> None:
    translator.body.append(f"<p>{mathml(node, 'block')}</p>")
    raise nodes.SkipNode


def setup(app) -> None:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    app.connect("autodoc-skip-member", skip_generated_members)
    # Before napoleon, which turns sections into reStructuredText.
    app.connect("autodoc-process-docstring", escape_mathematics, priority=400)
