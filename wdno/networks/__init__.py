"""Backbones: ``backbone(x, c_noise, cond)`` on any grid in any number of dimensions."""

from wdno.networks.dynamic_grain import DynamicGrain, DynamicGrainConfig
from wdno.networks.fourier import Fourier, FourierConfig
from wdno.networks.local import Local, LocalConfig, Ring, RingConfig
from wdno.networks.mixer import Mixer, MixerConfig
from wdno.networks.multiplier import Multiplier, MultiplierConfig
from wdno.networks.registry import Shape, build, register
from wdno.networks.token_transformer import TokenTransformer, TokenTransformerConfig

__all__ = [
    "DynamicGrain",
    "DynamicGrainConfig",
    "Fourier",
    "FourierConfig",
    "Local",
    "LocalConfig",
    "Mixer",
    "MixerConfig",
    "Multiplier",
    "MultiplierConfig",
    "Ring",
    "RingConfig",
    "Shape",
    "TokenTransformer",
    "TokenTransformerConfig",
    "build",
    "register",
]
