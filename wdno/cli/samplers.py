"""Names of samplers on the command line."""

from typing import Literal

from wdno.diffusion.samplers import Sampler, ddim, dpmpp_2m, heun

SamplerName = Literal["ddim", "ancestral", "dpmpp-2m", "heun"]

SAMPLERS: dict[SamplerName, Sampler] = {
    "ddim": ddim(),
    "ancestral": ddim(1.0),
    "dpmpp-2m": dpmpp_2m(),
    "heun": heun(),
}
