"""The command ``wdno``: data, training, simulation, refinement, control, evaluation."""

import sys

import tyro

from wdno.cli import fetching, looking, making, using

COMMANDS = {
    "demo": making.run_demo,
    "data": making.data,
    "download": fetching.download,
    "excerpt": fetching.excerpt,
    "import-official": making.import_official,
    "train": making.train,
    "finetune": making.finetune,
    "simulate": using.simulate,
    "refine": using.refine,
    "control": using.control,
    "evaluate": looking.evaluate,
    "diagnose": looking.diagnose,
    "info": looking.info,
}


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command line; wrong input ends with its message, exit 2."""
    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="wdno", args=arguments)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"wdno: {error}", file=sys.stderr)
        raise SystemExit(2) from error
