"""Checkpoints of the official WDNO code."""

from pathlib import Path

import numpy as np

from wdno.io.torch_files import check_whole, read

__all__ = ["read_state_dict"]


def read_state_dict(path: str | Path, part: str = "model") -> dict[str, np.ndarray]:
    """The network's tensors in a checkpoint, by their official names.

    Args:
        path: file that the official trainer wrote, or a bare state dict.
        part: "model" for the weights that the official evaluation uses, "ema" for
            their moving average.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no such part, or is damaged, by its checksums too.
    """
    content = read(path)
    check_whole(path)  # which is small and read anyway
    if isinstance(content, dict) and isinstance(content.get(part), dict):
        content = content[part]
    elif part != "model":
        raise ValueError(
            f"A checkpoint holds its parts by name, but {path} has no {part!r} among "
            f"{list(content)[:8]}. Take the part 'model'."
        )
    items = content if isinstance(content, dict) else {}
    tensors = {str(k): v for k, v in items.items() if isinstance(v, np.ndarray)}
    if not tensors:
        raise ValueError(
            f"A checkpoint holds tensors by name, but {path} has none. Is it the file "
            "of a model?"
        )
    for prefix in ("ema_model.model.", "module.model.", "model."):
        inner = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        if inner:
            return inner
    return tensors
