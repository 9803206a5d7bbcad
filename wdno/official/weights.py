"""State dicts of the official networks -> parameters of `UNet` and `VideoUNet`.

Names are translated piece by piece, arrays by their kind: PyTorch keeps output channels
first, Flax last. Nothing is left over on either side, or `convert` says what.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import jax
import numpy as np

from wdno.diffusion.denoiser import Network
from wdno.official.unet import UNet
from wdno.official.video_unet import VideoUNet

Tensors = Mapping[str, np.ndarray]

_COMMON = {
    r"^time_mlp\.1\b": "embedding.inner",
    r"^time_mlp\.3\b": "embedding.outer",
    r"^init_conv\b": "lift",
    r"\bmlp\.1\b": "modulation.dense",
    r"\bblock1\.proj\b": "inner.convolution",
    r"\bblock1\.norm\b": "inner.norm",
    r"\bblock2\.proj\b": "outer.convolution",
    r"\bblock2\.norm\b": "outer.norm",
    r"\bres_conv\b": "skip",
    r"^mid_block1\b": "mid.first",
    r"^mid_block2\b": "mid.second",
    r"\.fn\.norm\.(g|gamma)$": ".norm.weight",
    r"^downs\.(\d)\.0\b": r"down.\1.first",
    r"^downs\.(\d)\.1\b": r"down.\1.second",
    r"^downs\.(\d)\.2\b": r"down.\1.attention",
    r"^ups\.(\d)\.0\b": r"up.\1.first",
    r"^ups\.(\d)\.1\b": r"up.\1.second",
    r"^ups\.(\d)\.2\b": r"up.\1.attention",
}
"""Patterns of official names and what they are called here, applied in order."""

_NAMES: dict[type, dict[str, str]] = {
    UNet: _COMMON
    | {
        r"^mid_attn\b": "mid.attention",
        r"^final_res_block\b": "final",
        r"^final_conv\b": "head",
        r"\.fn\.fn\.to_qkv\b": ".qkv",
        r"\.fn\.fn\.to_out\.weight": ".out.layers.0.weight",
        r"\.fn\.fn\.to_out\.bias": ".out.layers.0.bias",
        r"\.fn\.fn\.to_out\.0\b": ".out.layers.0",
        r"\.fn\.fn\.to_out\.1\.g\b": ".out.layers.1.weight",
        r"^downs\.(\d)\.3\.1\b": r"down.\1.closing",
        r"^downs\.(\d)\.3\b": r"down.\1.closing",
        r"^ups\.(\d)\.3\.1\b": r"up.\1.closing",
        r"^ups\.(\d)\.3\b": r"up.\1.closing",
    },
    VideoUNet: _COMMON
    | {
        r"^time_rel_pos_bias\.relative_attention_bias\.weight": "position_bias.table",
        r"^init_temporal_attn\b": "over_time",
        r"^mid_spatial_attn\b": "mid.attention",
        r"^mid_temporal_attn\b": "mid.over_time",
        r"^final_conv\.0\b": "final",
        r"^final_conv\.1\b": "head",
        r"\.fn\.fn(\.fn)?\.to_qkv\b": ".qkv",
        r"\.fn\.fn(\.fn)?\.to_out\b": ".out",
        r"^downs\.(\d)\.3\b": r"down.\1.over_time",
        r"^downs\.(\d)\.4\b": r"halve.\1",
        r"^ups\.(\d)\.3\b": r"up.\1.over_time",
        r"^ups\.(\d)\.4\b": r"double.\1",
    },
}

_CONSTANTS = re.compile(r"\.rotary_emb\.freqs$")
"""Entries that every state dict holds with the same values, which code knows."""


def convert(backbone: Network, tensors: Tensors) -> Network:
    """The network with the parameters of an official state dict.

    Args:
        backbone: an `Inpainting` network of the shape that the state dict belongs to.
        tensors: arrays by their official names.

    Raises:
        ValueError: tensors are missing, surplus or of another shape; lists them.
    """
    prefix, expected = "network.", backbone.parameters
    wanted = {name.removeprefix(prefix): name for name in expected}
    kind = type(backbone.thaw().network)  # pyright: ignore
    found, official = {}, {}
    for name, tensor in tensors.items():
        if _CONSTANTS.search(name):
            continue
        ours = _renamed(name, _NAMES[kind])
        target, value = _arranged(ours, np.asarray(tensor))
        found[target], official[target] = value, name
    missing = sorted(wanted.keys() - found.keys())
    surplus = sorted(official[name] for name in found.keys() - wanted.keys())
    reshaped = [
        f"{official[name]} {found[name].shape} instead of {expected[path].shape}"
        for name, path in sorted(wanted.items())
        if name in found and found[name].shape != expected[path].shape
    ]
    if missing or surplus or reshaped:
        raise ValueError(
            f"A checkpoint has one tensor for each of the {len(wanted)} parameters of "
            f"{backbone.config}, but {len(missing)} are missing {missing[:8]}, "
            f"{len(surplus)} surplus {surplus[:8]}, {len(reshaped)} of another shape "
            f"(in Flax's order) {reshaped[:8]}. Is it of this kind, and were width, "
            "levels and channels those of its training?"
        )
    filled = {
        path: jax.numpy.asarray(found[name], expected[path].dtype)
        for name, path in wanted.items()
    }
    return replace(backbone, parameters=filled)


def _renamed(name: str, patterns: Mapping[str, str]) -> str:
    for pattern, ours in patterns.items():
        name = re.sub(pattern, ours, name)
    return name


def _arranged(name: str, tensor: np.ndarray) -> tuple[str, np.ndarray]:
    """Name and array in Flax's conventions."""
    layer, _, kind = name.rpartition(".")
    if kind != "weight":
        return name, tensor
    if layer.endswith("norm") or layer.endswith("out.layers.1"):
        return f"{layer}.scale", tensor.reshape(-1)
    if tensor.ndim < (5 if layer.startswith(("double", "halve")) else 2):
        return f"{layer}.kernel", tensor  # of no layer here: `convert` says so
    if layer.startswith("double"):  # transposed: in, out, then taps in reverse
        return f"{layer}.kernel", tensor[:, :, 0, ::-1, ::-1].transpose(2, 3, 0, 1)
    if layer.startswith("halve"):
        tensor = tensor[:, :, 0]
    kernel = np.moveaxis(tensor, (1, 0), (-2, -1))
    pointwise = tensor.ndim > 2 and set(tensor.shape[2:]) == {1}
    return f"{layer}.kernel", kernel.reshape(kernel.shape[-2:]) if pointwise else kernel
