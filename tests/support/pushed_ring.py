"""A system that adds up what it is given, with a planner that knows it."""

import numpy as np

from wdno.accelerate.event_trigger import InnovationThreshold
from wdno.accelerate.latest import Planning
from wdno.accelerate.steering import Steering
from wdno.planning.feedback import Names

NAMES = Names({"u": "u0"}, ("f",))
WAVE = np.sin(2 * np.pi * np.arange(8) / 8)[None]
GOAL = {"uT": 3 * WAVE}
FRAMES = 6
"""Frames of a plan; one a tick."""


def straight(request):
    """Equal steps from where one is to the goal: u_(k+1) = u_k + f_k."""
    step = (request.goal["uT"] - request.state["u0"]) / FRAMES
    f = np.repeat(step[:, None], FRAMES, axis=1)
    return {"f": f, "u": request.state["u0"][:, None] + f.cumsum(axis=1)}


def steer(key, make=straight, trigger=None, **how):
    """A planner's side and a system's side."""
    planning = Planning(make)
    trigger = trigger or InnovationThreshold(0.9, most_skips=99)
    rest = {"f": np.zeros((1, 1, 8))}
    return planning, Steering(planning, trigger, NAMES, rest, key=key, **how)


def acted(u, command, push=0.0):
    """The state a tick later."""
    return {"u0": u["u0"] + command.controls["f"][:, 0] + push}
