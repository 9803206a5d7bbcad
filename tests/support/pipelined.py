"""A queue of blocks alone and over all devices; run as a script.

A process has the devices it was started with, so `test_pipeline` starts this one with
eight, as parts of the CPU, and reads what it prints.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
from oracles import make_fields
from tokenwise import transformer

from wdno import rollout
from wdno.accelerate.block_noise import Pooled
from wdno.accelerate.block_queue import BlockQueue
from wdno.accelerate.pipeline import PipelinedQueue
from wdno.accelerate.pipeline_stages import staged
from wdno.diffusion.samplers import dpmpp_2m


def record(model, known, how):
    return jnp.concatenate([part["u"] for part in rollout(model, *known, **how)], 1)


def main():
    model, fields, results = transformer(depth=8), make_fields(2, 22), {}
    known = {"u0": fields["u0"]}, {"f": fields["f"]}
    how = {"sampler": dpmpp_2m(), "steps": 8, "key": jax.random.key(0)}
    queue = BlockQueue(context=2, noise=Pooled())
    alone = record(model, known, {**how, "blocks": queue})
    for count in (1, 2, 4, 8):
        devices = tuple(jax.devices()[:count])
        found = record(model, known, {**how, "blocks": PipelinedQueue(queue, devices)})
        layers = jax.tree.leaves(staged(model, devices).stages)
        held = sum(u.addressable_shards[0].data.nbytes for u in layers)
        results[count] = {
            "error": float(np.abs(found - alone).max()),
            "size": float(np.abs(alone).max()),
            "share": held / sum(u.nbytes for u in layers),
        }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
