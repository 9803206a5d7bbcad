"""Models as the Hugging Face Hub shows them: a folder with a card that it understands.

A repository of the Hub has the files of a model folder and a README.md, whose front
matter says what the Hub lists and searches: library, licence, tags, results.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wdno._files import located
from wdno.operator.checkpoint import load, locate, read_card
from wdno.operator.hub import MODEL, HubAddress

__all__ = ["front_matter", "publish", "readme"]

TAGS = ("wavelets", "diffusion", "neural-operator", "partial-differential-equations")


def publish(
    name: str | Path,
    folder: str | Path,
    address: str,
    *,
    license: str,
    tags: Sequence[str] = (),
) -> Path:
    """Write a model as the Hub takes it: its files, and the card that the Hub shows.

    Nothing is sent: ``hf upload owner/name FOLDER`` does that.

    Args:
        name: of the model: shipped, a folder, or of the Hub.
        folder: to write, which is not there yet.
        address: ``hf://owner/name`` of the repository that it is for.
        license: as the Hub names it, such as ``mit``.
        tags: by which it is to be found, besides those of every model.

    Returns:
        The folder.

    Raises:
        FileExistsError: there is something at the folder.
        FileNotFoundError: there is no such model.
        ValueError: the address is malformed, or the model damaged.
    """
    place, folder, card = locate(name), located(folder), read_card(name)
    adapters = card.get("adapters", {})
    for adapter in (None, *adapters):  # which verifies them
        load(place, adapter=adapter)
    page = readme(card, address, license, tags)
    folder.mkdir(parents=True)
    for file in (*MODEL, *(f"{adapter}.safetensors" for adapter in adapters)):
        shutil.copyfile(place / file, folder / file)
    (folder / "README.md").write_text(page)
    return folder


def front_matter(
    card: Mapping[str, Any], license: str, tags: Sequence[str] = ()
) -> dict[str, Any]:
    """What the Hub lists of a model, under its own names.

    Args:
        card: as `wdno.operator.checkpoint.read_card` returns it.
        license: as the Hub names it, such as ``mit``.
        tags: besides those of every model.
    """
    entries = {"library_name": "wdno", "license": license, "tags": [*TAGS, *tags]}
    scores = [
        {"type": name, "value": value["mean"], "name": _interval(name, value)}
        for name, value in (card.get("metrics") or {}).items()
        if isinstance(value, Mapping) and "mean" in value
    ]
    if not scores:
        return entries
    data = card.get("data") or {}
    dataset = {"name": data.get("title", "unnamed"), "type": "trajectories"}
    task = {"type": "other", "name": (card.get("recipe") or {}).get("task", "other")}
    result = {"task": task, "dataset": dataset, "metrics": scores}
    name = card.get("name", "model")
    return entries | {"model-index": [{"name": name, "results": [result]}]}


def readme(
    card: Mapping[str, Any], address: str, license: str, tags: Sequence[str] = ()
) -> str:
    """The README.md by which the Hub shows a model: front matter and a page.

    The front matter is JSON line by line, which YAML is a superset of.

    Args:
        card: as `wdno.operator.checkpoint.read_card` returns it.
        address: ``hf://owner/name`` of the repository that it is for.
        license: as the Hub names it, such as ``mit``.
        tags: besides those of every model.

    Raises:
        ValueError: the address is malformed.
    """
    HubAddress.parse(address)
    entries = front_matter(card, license, tags)
    front = [f"{key}: {json.dumps(value)}" for key, value in entries.items()]
    fields = {
        part: ", ".join(f"`{field['name']}`" for field in card[part].get("fields", ()))
        for part in ("targets", "given")
    }
    page = [
        f"# {card.get('name', 'model')}",
        f"A wavelet diffusion neural operator of {card['parameters']:,} parameters: "
        f"{fields['targets']} from {fields['given']}.",
        f'```python\nimport wdno\n\nmodel = wdno.load("{address}")\n```',
        "How it was trained, on what, and how well it does stands in `card.json`.",
    ]
    return "\n".join(["---", *front, "---", ""]) + "\n\n".join(page) + "\n"


def _interval(name: str, score: Mapping[str, Any]) -> str:
    """A metric with its 95 % interval, where it has one."""
    if not {"low", "high"} <= score.keys():
        return name
    return f"{name} (95 % interval {score['low']:.3g} to {score['high']:.3g})"
