"""The shape of the package: sizes, documentation, tests and a harmless import.

Who may import whom is configuration: `[tool.importlinter]` in pyproject.toml.
"""

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "wdno"
MAX_MODULE_LINES = 250
MAX_FUNCTION_LINES = 60

OPTIONAL_DEPENDENCIES = (
    "cfgrib",
    "dask",
    "distributed",
    "gcsfs",
    "h5py",
    "huggingface_hub",
    "phi",
    "ptwt",
    "pytest",
    "requests",
    "scoringrules",
    "tensorboardX",
    "torch",
    "uvicorn",
    "zarr",
)
# Each is needed by one verb only, and slow to import.
DEFERRED_DEPENDENCIES = ("matplotlib.pyplot", "tyro")

SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


@cache
def modules() -> dict[str, ast.Module]:
    """Syntax trees, not parsed where tests are only collected.

    `wdno.networks.__init__` is the module `wdno.networks`.
    """
    return {
        name.removesuffix(".__init__"): ast.parse(path.read_text(), filename=str(path))
        for name, path in SOURCES.items()
    }


def absolute(module: str, node: ast.ImportFrom) -> str:
    """Full name of what an ``import from`` statement imports from."""
    if node.level == 0:
        return node.module or ""
    is_package = f"{module}.__init__" in SOURCES
    parents = module.split(".")
    parents = parents[: len(parents) - node.level + is_package]
    return ".".join([*parents, *([node.module] if node.module else [])])


def without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from ``def`` to its end, the docstring not counted."""
    lines = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is not None:
        lines -= node.body[0].end_lineno - node.body[0].lineno + 1
    return lines


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a module, nested ones included."""
    return (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def public(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator:
    """Public classes, functions and methods: pairs of qualified name and node."""
    for child in node.body:
        if not isinstance(
            child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) or child.name.startswith("_"):
            continue
        if any(ast.unparse(mark) == "overload" for mark in child.decorator_list):
            continue  # a signature of what follows, which is documented
        yield prefix + child.name, child
        if isinstance(child, ast.ClassDef):
            yield from public(child, f"{prefix}{child.name}.")


def test_the_package_is_there() -> None:
    assert "wdno" in modules() and len(modules()) > 10


def test_modules_are_short() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in SOURCES.items()}
    assert not {name: n for name, n in lines.items() if n > MAX_MODULE_LINES}


def test_functions_are_short() -> None:
    assert not {
        f"{module}.{node.name} (line {node.lineno})": without_docstring(node)
        for module, tree in modules().items()
        for node in functions(tree)
        if without_docstring(node) > MAX_FUNCTION_LINES
    }


def test_public_names_are_documented() -> None:
    assert not [name for name, tree in modules().items() if not ast.get_docstring(tree)]
    assert not [
        f"{module}.{name}"
        for module, tree in modules().items()
        if not module.split(".")[-1].startswith("_")
        for name, node in public(tree)
        if ast.get_docstring(node) is None
    ]


def test_no_assert_statements() -> None:
    """``python -O`` removes them; errors for users are ValueErrors with advice."""
    assert not [
        f"{module} (line {node.lineno})"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]


def test_all_names_resolve() -> None:
    names = {
        module: getattr(importlib.import_module(module), "__all__", [])
        for module in modules()
        if not module.endswith("__main__")
    }
    assert not [module for module, own in names.items() if len(own) > len(set(own))]
    assert not [
        f"{module}.{name}"
        for module, own in names.items()
        for name in own
        if not hasattr(importlib.import_module(module), name)
    ]


def test_the_package_lists_its_public_names() -> None:
    """What ``import wdno`` offers is explicit: all that ``__init__`` imports."""
    tree = modules()["wdno"]
    bound = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and absolute("wdno", node)[:4] == "wdno"
        for alias in node.names
    }
    listed = set(importlib.import_module("wdno").__all__)
    assert bound - {name for name in bound if name.startswith("_")} <= listed


def test_modules_have_tests() -> None:
    """tests/ mirrors wdno/: every package has a folder of tests there, or a file."""
    untested = []
    for module in modules():
        *packages, name = module.split(".")[1:] or ["__init__"]
        if f"{module}.__init__" in SOURCES or name.startswith("_"):
            continue
        folder = Path(__file__).parent.joinpath(*packages)
        file = folder.with_name(f"test_{folder.name}.py")
        if not file.exists() and not [*folder.glob("test_*.py")]:
            untested.append(module)
    assert not untested


def run_python(code: str, platforms: str) -> str:
    """Standard output of `code` in a fresh interpreter with JAX on `platforms`."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"JAX_PLATFORMS": platforms},
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_makes_no_arrays_and_needs_core_dependencies_only() -> None:
    """Every module is importable, and none takes an optional dependency with it.

    On a platform that does not exist, where the first array would raise.
    """
    names = [name for name in modules() if not name.endswith("__main__")]
    code = (
        "import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        f"print(*[name for name in {OPTIONAL_DEPENDENCIES} if name in sys.modules])"
    )
    assert run_python(code, platforms="none").split() == []


def test_import_of_the_package_is_cheap() -> None:
    """``import wdno`` loads neither the command line nor pyplot nor a system."""
    unwanted = (*DEFERRED_DEPENDENCIES, "wdno.cli", "wdno.systems", "wdno.accelerate")
    code = (
        "import sys, wdno\n"
        f"print(*[name for name in {unwanted} if name in sys.modules])"
    )
    assert run_python(code, platforms="cpu").split() == []
