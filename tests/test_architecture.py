"""The shape of the package: layers, sizes, documentation and a harmless import."""

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "wdno"
MAX_MODULE_LINES = 250
MAX_FUNCTION_LINES = 60

# From the bottom to the top. A module imports from layers below its own, and from its
# neighbours as long as no cycle arises. A folder counts as one module here.
LAYERS = (
    {"_arrays", "_typing", "_files", "_tagged", "_torch_files"},
    {"_filter_banks", "wavelets", "trajectory", "metrics"},
    {
        "domain",
        "field",
        "first_guess",
        "layout",
        "networks",
        "noise",
        "packing",
        "prolongation",
        "schedules",
        "slots",
        "tasks",
        "tiled_layout",
        "tiling",
    },
    {"samplers", "guidance", "denoiser", "constraints", "_descent", "adjoint"},
    {
        "_feedback",
        "_horizon",
        "_labels",
        "_planner",
        "_record",
        "assembly",
        "closed_loop",
        "official",
        "operator",
        "persistence",
        "planning",
        "plotting",
        "recipes",
        "release",
        "report",
        "super_resolution",
        "training",
        "validation",
        "verbs",
    },
    {"accelerate"},
    {"cli", "demo"},
)
# Beside the layers: physics and file layouts know nothing of learning.
PERIPHERY = {"systems", "io"}
PERIPHERY_IMPORTS = {"_arrays", "_files", "_json", "_typing", "trajectory"}
# Only the command line knows both sides (and, as the top layer, the accelerators).
PRIVILEGED = {"cli", "demo"}
# The backbone is injected, so that any network can be denoised with.
INJECTED = {"denoiser": {"networks"}}

OPTIONAL_DEPENDENCIES = (
    "cfgrib",
    "dask",
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
    "zarr",
)
# Each is needed by one verb only, and slow to import.
DEFERRED_DEPENDENCIES = ("matplotlib.pyplot", "tyro")

SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# `wdno.networks.__init__` is the module `wdno.networks`.
MODULES = {
    name.removesuffix(".__init__"): ast.parse(path.read_text(), filename=str(path))
    for name, path in SOURCES.items()
}
each_module = pytest.mark.parametrize("module", MODULES)


def unit(module: str) -> str:
    """``wdno.networks.fourier`` -> ``networks``; the package itself is ``__init__``."""
    return (module.split(".") + ["__init__"])[1]


def rank(name: str) -> int:
    """Height of the layer that holds `name`."""
    return next(height for height, layer in enumerate(LAYERS) if name in layer)


def absolute(module: str, node: ast.ImportFrom) -> str:
    """Full name of what an ``import from`` statement imports from."""
    if node.level == 0:
        return node.module or ""
    is_package = f"{module}.__init__" in SOURCES
    parents = module.split(".")
    parents = parents[: len(parents) - node.level + is_package]
    return ".".join([*parents, *([node.module] if node.module else [])])


def imports(module: str) -> set[str]:
    """Modules of this package that `module` imports, anywhere in its text."""
    found = set()
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = absolute(module, node)
            for alias in node.names:
                name = f"{source}.{alias.name}"
                found.add(name if name in MODULES else source)
    return {name for name in found if name.split(".")[0] == "wdno"} - {module}


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
        yield prefix + child.name, child
        if isinstance(child, ast.ClassDef):
            yield from public(child, f"{prefix}{child.name}.")


def test_the_package_is_there() -> None:
    assert "wdno" in MODULES and len(MODULES) > 10


@each_module
def test_module_has_a_place(module: str) -> None:
    known = set().union(*LAYERS) | PERIPHERY | {"__init__", "__main__"}
    assert unit(module) in known, (
        f"{module} is in no layer. Add it to LAYERS in {Path(__file__).name}, as far "
        "down as its imports allow."
    )


@each_module
def test_imports_go_downward(module: str) -> None:
    me = unit(module)
    for imported in imports(module):
        other = unit(imported)
        if me == other:
            continue
        if me == "__main__":
            assert other == "cli"
        elif me == "__init__":
            assert other not in PERIPHERY | {"accelerate", "cli"}
        elif other == "__init__":
            assert me in PRIVILEGED, f"{module} imports the package that imports it"
        elif me in PERIPHERY:
            assert other in PERIPHERY_IMPORTS, f"{module} imports {imported}"
        elif other in PERIPHERY:
            assert me in PRIVILEGED, f"{module} imports {imported}"
        else:
            assert rank(me) >= rank(other), f"{module} imports {imported}, above it"
            assert other not in INJECTED.get(me, set()), f"{module} imports {imported}"


@each_module
def test_periphery_modules_share_their_base_only(module: str) -> None:
    if unit(module) not in PERIPHERY or module.count(".") < 2:
        return
    kind = ".".join(module.split(".")[:3])  # wdno.systems.smoke of its parts
    siblings = {
        name
        for name in imports(module)
        if unit(name) == unit(module) and not f"{name}.".startswith(f"{kind}.")
    }
    if kind == "wdno.io.formats":  # tells them apart
        return
    # Random inputs, numerics and files, of no system or layout in particular.
    names = (
        "finite_volume",
        "forces",
        "gas_flow",
        "gas_states",
        "pressure",
        "riemann",
        "staggered",
        "waves",
    )
    shared = {f"wdno.systems.{name}" for name in names}
    shared.add("wdno.io.hdf5")
    assert siblings <= {f"wdno.{unit(module)}.base"} | shared


def test_imports_have_no_cycle() -> None:
    graph = {module: imports(module) for module in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other: {error.args[1]}")


@pytest.mark.parametrize("source", SOURCES)
def test_modules_are_short(source: str) -> None:
    lines = len(SOURCES[source].read_text().splitlines())
    assert lines <= MAX_MODULE_LINES, f"{source} has {lines} lines"


@each_module
def test_functions_are_short(module: str) -> None:
    long = {
        f"{node.name} (line {node.lineno})": without_docstring(node)
        for node in functions(MODULES[module])
        if without_docstring(node) > MAX_FUNCTION_LINES
    }
    assert not long


@each_module
def test_public_names_are_documented(module: str) -> None:
    tree = MODULES[module]
    assert ast.get_docstring(tree), f"{module} says nothing about itself"
    if module.split(".")[-1].startswith("_"):
        return
    bare = [name for name, node in public(tree) if ast.get_docstring(node) is None]
    assert not bare


@each_module
def test_no_assert_statements(module: str) -> None:
    """``python -O`` removes them; errors for users are ValueErrors with advice."""
    lines = [n.lineno for n in ast.walk(MODULES[module]) if isinstance(n, ast.Assert)]
    assert not lines


@each_module
def test_all_names_resolve(module: str) -> None:
    if module.endswith("__main__"):
        return
    imported = importlib.import_module(module)
    names = getattr(imported, "__all__", [])
    assert len(names) == len(set(names))
    assert not [name for name in names if not hasattr(imported, name)]


def test_the_package_lists_its_public_names() -> None:
    """What ``import wdno`` offers is explicit: all that ``__init__`` imports."""
    tree = MODULES["wdno"]
    bound = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and absolute("wdno", node)[:4] == "wdno"
        for alias in node.names
    }
    listed = set(importlib.import_module("wdno").__all__)
    assert bound - {name for name in bound if name.startswith("_")} <= listed


@each_module
def test_module_has_tests(module: str) -> None:
    """tests/ mirrors wdno/; a small package folder may share one file."""
    names = module.split(".")[1:]
    if f"{module}.__init__" in SOURCES or names[-1].startswith("_"):
        return
    tests = Path(__file__).parent
    choices = [
        tests.joinpath(*names[:depth], f"test_{name}.py")
        for depth, name in enumerate(names)
    ] + [tests / f"test_{names[-1]}.py"]
    assert any(path.exists() for path in choices), (
        f"{module} has none of {[str(path.relative_to(tests)) for path in choices]}"
    )


def run_python(code: str, platforms: str) -> str:
    """Standard output of `code` in a fresh interpreter with JAX on `platforms`."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"JAX_PLATFORMS": platforms},
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_makes_no_arrays() -> None:
    """On a platform that does not exist, the first array would raise."""
    names = [name for name in MODULES if not name.endswith("__main__")]
    code = f"import importlib\nfor name in {names}: importlib.import_module(name)"
    run_python(code, platforms="none")


def test_import_needs_core_dependencies_only() -> None:
    """Every module is importable, and none takes an optional dependency with it."""
    names = [name for name in MODULES if not name.endswith("__main__")]
    code = (
        "import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        f"print(*[name for name in {OPTIONAL_DEPENDENCIES} if name in sys.modules])"
    )
    assert run_python(code, platforms="cpu").split() == []


def test_import_of_the_package_is_cheap() -> None:
    """``import wdno`` loads neither the command line nor pyplot nor a system."""
    unwanted = (*DEFERRED_DEPENDENCIES, "wdno.cli", "wdno.systems", "wdno.accelerate")
    code = (
        "import sys, wdno\n"
        f"print(*[name for name in {unwanted} if name in sys.modules])"
    )
    assert run_python(code, platforms="cpu").split() == []
