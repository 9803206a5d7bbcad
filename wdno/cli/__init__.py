"""The command ``wdno``: data, training, simulation, refinement, control, evaluation."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable

COMMANDS = {
    "demo": "making.run_demo",
    "data": "making.data",
    "download": "fetching.download",
    "excerpt": "fetching.excerpt",
    "import-official": "making.import_official",
    "train": "training.train",
    "finetune": "training.finetune",
    "simulate": "using.simulate",
    "refine": "using.refine",
    "control": "using.control",
    "live": "watching.live",
    "evaluate": "looking.evaluate",
    "diagnose": "looking.diagnose",
    "calibrate": "training.calibrate",
    "distill": "distilling.distill",
    "info": "looking.info",
    "export": "deploying.export",
    "publish": "deploying.publish",
    "serve": "deploying.serve",
}
"""Where each command lies: its module is imported when it is called."""

SUMMARIES = {
    "demo": "Simulate, refine and control unseen flows beside the reference solver.",
    "data": "Generate trajectories by a reference solver; interrupted runs resume.",
    "download": "Fetch public files and check them; an interrupted download goes on.",
    "excerpt": "Copy a part of ERA5, such as a store of WeatherBench 2, into a file.",
    "import-official": "Make an ordinary model of a checkpoint of the official code.",
    "train": "Train a model; writes its recipe, the log, checkpoints and OUT/model.",
    "finetune": "Go on training a model, on another grid or coefficient.",
    "simulate": "Simulate the initial states and controls of a file.",
    "refine": "Refine coarse trajectories of a file by a power of two.",
    "control": "Plan controls from the initial states of a file.",
    "live": "Steer a flow without end, and watch and disturb it in the browser.",
    "evaluate": "Score a forecast against the truth, with confidence intervals.",
    "diagnose": "Say at which noise levels a model errs, and what ensembles are worth.",
    "calibrate": "Make the ensembles of a model scatter as far as they are off.",
    "distill": "Train an adapter by which one call does what several did.",
    "info": "Say what a model or a file of data is, or what work with it will take.",
    "export": "Write a model as a program that needs neither networks nor layouts.",
    "publish": "Write a model as the Hugging Face Hub takes it; nothing is sent.",
    "serve": "Simulate over HTTP: NetCDF or zipped Zarr in and out.",
}
"""The first lines of their documentation, which help shows without an import."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command line; wrong input ends with its message, exit 2."""
    given = sys.argv[1:] if arguments is None else arguments
    words = [_expanded(word) for word in given]
    if not words or words[0] not in COMMANDS:
        return _help(words)
    try:
        _run(words[0], words[1:])
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"wdno: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def command(name: str) -> Callable[..., None]:
    """The function of a command."""
    module, function = COMMANDS[name].split(".")
    return getattr(importlib.import_module(f"wdno.cli.{module}"), function)


def _run(name: str, words: list[str]) -> None:
    tyro = importlib.import_module("tyro")
    tyro.cli(command(name), prog=f"wdno {name}", args=words)


def _expanded(word: str) -> str:
    """A word with "~" at the beginning of a path as the home of the user."""
    name, sign, value = word.partition("=")
    if sign and name.startswith("--"):
        return f"{name}={os.path.expanduser(value)}"
    return os.path.expanduser(word)


def _help(words: list[str]) -> None:
    """Help, or a refusal of what is no command."""
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{SUMMARIES[name]}" for name in COMMANDS]
    parser = argparse.ArgumentParser(
        "wdno",
        description=__doc__,
        epilog="\n".join(["commands:", *lines, "", "wdno COMMAND --help says more."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.parse_args(words)
