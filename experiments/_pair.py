"""The same recipe with and without wavelets, trained for as long: does one pay?

python experiments/train.py --recipe RECIPE --data DATA --out "PAIR/with wavelets"
python experiments/train.py --recipe RECIPE --data DATA --out "PAIR/without wavelets" \\
    --wavelet lazy
"""

from pathlib import Path
from typing import Any

import wdno
from wdno.training.history import history

PAIR = ("with wavelets", "without wavelets")


def pair(folder: Path) -> dict[str, wdno.WDNO]:
    """Both models by what they are; none where they have not been trained."""
    found = {name: folder / name / "model" for name in PAIR}
    if not all(path.exists() for path in found.values()):
        return {}
    return {name: wdno.load(path) for name, path in found.items()}


def trained(folder: Path) -> dict[str, dict[str, Any]]:
    """Seconds of processor time and updates that each of them was trained for."""
    return {
        name: {
            "seconds": wdno.read_card(folder / name / "model")["training"]["budget"],
            "updates": sum(log[-1]["step"] for log in history(folder / name).values()),
        }
        for name in pair(folder)
    }
