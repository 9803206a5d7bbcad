"""What README and documentation promise: their snippets run, their names exist."""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wdno import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def blocks(page: str, language: str = "") -> list[str]:
    """The fenced code blocks of a page in `language` (none: the unlabelled ones)."""
    fences = re.findall(r"^```(.*)\n([\s\S]*?)^```", PAGES[page], re.MULTILINE)
    return [code for label, code in fences if label == language]


# The package is found without being installed, from any folder.
ENVIRONMENT = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
COMMANDS = sorted(
    {
        command
        for page in PAGES
        for block in blocks(page)
        for command in re.findall(r"^wdno ([a-z-]+)", block, re.MULTILINE)
    }
)


def ships(code: str) -> bool:
    """Whether all models that the code loads by name are part of the package."""
    names = re.findall(r'wdno\.load\("([\w-]+)"\)', code)
    return all((ROOT / f"wdno/pretrained/{name}/card.json").exists() for name in names)


with_snippets = pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")]
)


@with_snippets
def test_imports_and_verbs_of_snippets_exist(page: str) -> None:
    tree = ast.parse("\n".join(blocks(page, "python") + blocks(page, "py")))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("wdno"):
            module = importlib.import_module(node.module)
            assert not [a.name for a in node.names if not hasattr(module, a.name)]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "wdno":
            assert hasattr(importlib.import_module("wdno"), node.attr)


@pytest.mark.slow
@with_snippets
def test_snippets_run(page: str, tmp_path: Path) -> None:
    """In order, as one program with JAX's defaults, as a reader would run them.

    A block that loads a model which does not ship is left out, and so are fragments,
    labelled "py", that begin with what a reader has. A page may take ten minutes of
    processor time, whatever else runs.
    """
    code = "\n".join(block for block in blocks(page, "python") if ships(block))
    result = subprocess.run(
        ["sh", "-c", 'ulimit -t 600 && exec "$0" -c "$1"', sys.executable, code],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", PAGES[page], re.M))
    assert named <= targets


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert command in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", PAGES[page])
    folder = (ROOT / page).parent
    assert not [link for link in links if not (folder / link).exists()]


def test_results_have_their_place() -> None:
    text = PAGES["docs/results.md"]
    assert text.count("<!-- results:start -->") == 1
    assert 0 < text.index("<!-- results:start -->") < text.index("<!-- results:end -->")


def test_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_contributing_stays_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 50
