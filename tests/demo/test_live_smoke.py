"""Smoke steered live: a small box without obstacles, a planner that does nothing."""

import json
import threading
import urllib.request

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.accelerate.latest import Request
from wdno.demo.live_server import serving
from wdno.demo.live_smoke import SmokeLoop, SmokePlans
from wdno.demo.watched import running
from wdno.systems import Smoke

BOX = Smoke(points=16, frames=8, substeps=2, obstacles=(), duration=64.0)
KEY = jax.random.key(0)


def still(known, keys):
    """No control at all."""
    assert known["smokeT"] == 1
    return {name: jnp.zeros((1, 8, 16, 16), jnp.float32) for name in ("cx", "cy")}


def make_loop():
    return SmokeLoop(BOX, SmokePlans(still, BOX, BOX, every=4), noise=0.0, key=KEY)


@pytest.mark.slow
def test_scenes_are_the_solver_s_wind_included():
    loop = make_loop()
    for scene in range(2):
        loop.open()
        density = BOX.flow.stored(loop._scene.density)
        loop.blow(0.3, 0.1)
        shown = [loop.advance() for _ in range(2)]
        assert loop.over and [tick["scene"] for tick in shown] == [scene] * 2
        ring = BOX.static["ring"]
        wind = {"cx": 0.3 * ring, "cy": 0.1 * ring}
        inputs = {
            n: jnp.broadcast_to(jnp.float32(c), (1, 8, 16, 16)) for n, c in wind.items()
        }
        whole = BOX.solve({"density0": density, **inputs})
        arrived = float(whole["smoke"][0, -1])
        assert shown[-1]["arrived"] == pytest.approx(arrived, abs=1e-5)
        assert shown[0]["innovation"] < 1e-5 < shown[1]["innovation"]
    assert shown[1]["tick"] == 3


@pytest.mark.slow
def test_later_plans_descend_from_the_rest_of_the_last():
    plans = SmokePlans(still, BOX, BOX, every=4)
    density = np.zeros((1, 16, 16), np.float32)
    density[:, 12:14, 6:10] = 1.0  # next to the exit
    first = plans(Request(0, {"density0": density}, {}))
    later = plans(Request(1, {"density0": density}, {}))
    assert first["density"].shape == (1, 8, 16, 16)
    assert later["cx"].shape == later["density"].shape == (1, 4, 16, 16)
    assert (jnp.asarray(later["cx"])[..., ~BOX.ring] == 0).all()
    assert jnp.abs(later["cx"]).max() > 0


@pytest.mark.slow
def test_the_page_blows_and_refuses_storms():
    loop = make_loop()
    with running(loop, 0.02), serving(loop) as address:
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert "<title>wdno live: smoke" in answer.read().decode()

        def blow(x):
            body = json.dumps({"x": x, "y": 0.0}).encode()
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(address + "wind", body, headers)
            return urllib.request.urlopen(request, timeout=30).status

        assert blow(0.25) == 200
        with pytest.raises(urllib.error.HTTPError) as refused:
            blow(3.0)
        assert "Blow less" in refused.value.read().decode()
        with urllib.request.urlopen(address + "events", timeout=60) as stream:
            ticks = (json.loads(s[6:]) for s in stream if s.startswith(b"data: "))
            assert next(t for t in ticks if t["wind"] == [0.25, 0.0])["tick"] >= 0
    assert not {"loop", "planning"} & {t.name for t in threading.enumerate()}
