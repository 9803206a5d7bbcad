"""A training run survives death and damage, and ends with the same bits."""

import contextlib
import shutil
import tempfile
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from interruptions import Killed, flip

from wdno.training.checkpoints import KEPT, Checkpoints
from wdno.training.loop import TrainingConfig, fit

STEPS = 5
CONFIG = TrainingConfig(steps=STEPS, learning_rate=0.05, checkpoint_every=0.0)
TREE = {
    "w": np.random.default_rng(0).normal(size=(20, 30)),
    "b": np.ones(3, np.float32),
    "t": 1.5,
}


def loss(model, batch, key):
    noise = jax.random.normal(key, batch.shape, batch.dtype)
    return jnp.mean(jnp.square(model(batch + 0.1 * noise) - batch[:, :2]))


def draw(step):
    return np.random.default_rng(step).normal(size=(8, 3)).astype(np.float32)


def trained(folder, batches=draw, **how):
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a checkpoint was damaged
        found = fit(model, loss, batches, CONFIG, folder, **how)
    return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(found, nnx.Param)))


def steps(folder):
    found = [p for p in (folder / "checkpoints").glob("*") if p.name.isdigit()]
    return sorted(found, key=lambda p: int(p.name))


class TrainingRun(RuleBasedStateMachine):
    """Processes that train a few steps each, and die between or within them."""

    @initialize()
    def begin(self):
        self.root = tempfile.TemporaryDirectory()
        self.folder = Path(self.root.name) / "run"

    @rule(at=st.integers(0, STEPS - 1))
    def train_and_die(self, at):
        def batches(step):
            if step == at:
                raise Killed
            return draw(step)

        with contextlib.suppress(Killed):
            trained(self.folder, batches, resume=True)

    @rule(share=st.floats(0, 1))
    def die_while_a_checkpoint_is_written(self, share):
        """It has another name until it is whole."""
        if len(found := steps(self.folder)) < KEPT:
            return
        half = found[-1].with_name(f"{found[-1].name}.orbax-checkpoint-tmp")
        found[-1].rename(half)
        files = sorted(p for p in half.rglob("*") if p.is_file())
        for file in files[int(share * len(files)) :]:
            file.unlink()

    @rule(data=st.data())
    def damage_the_last_checkpoint(self, data):
        if len(found := steps(self.folder)) < KEPT:
            return
        files = sorted(p for p in found[-1].rglob("*") if p.stat().st_size)
        files = [p for p in files if p.is_file()]
        place = data.draw(st.sampled_from(files))
        flip(place, lambda n: data.draw(st.integers(0, n - 1)))

    @rule(line=st.sampled_from(['{"step": 3, "lo', '{"st\\u0000"}', "\x00\x00", "[]"]))
    def cut_the_log(self, line):
        if self.folder.exists():
            with (self.folder / "log.jsonl").open("a") as log:
                log.write(line)

    def teardown(self):
        if hasattr(self, "root"):
            found = trained(self.folder, resume=True)
            jax.tree.map(np.testing.assert_array_equal, found, self.expected)
            self.root.cleanup()


TrainingRun.TestCase.settings = settings(max_examples=4, stateful_step_count=4)


class TestTrainingRun(TrainingRun.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            TrainingRun.expected = trained(Path(folder))


@pytest.fixture
def kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(1, TREE)
    checkpoints.save(2, {**TREE, "t": 2.5})
    checkpoints.close()
    return tmp_path / "c"


def damage_values(folder):
    """The largest file has the numbers, which nothing else has a checksum of."""
    file = max(folder.rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    flip(file, lambda n: n // 2)


@pytest.mark.parametrize("place", ["values", "_METADATA", "manifest.ocdbt"])
def test_an_earlier_checkpoint_stands_in_for_one_that_is_damaged(kept, place):
    if place == "values":
        damage_values(kept / "2")
    else:
        (kept / "2" / "default" / place).write_bytes(b"{}")
    checkpoints = Checkpoints(kept)
    with pytest.warns(UserWarning, match="step 2 .*damaged.* goes on from step 1"):
        step, tree = checkpoints.restore(TREE)
    assert (step, tree["t"]) == (1, 1.5)
    jax.tree.map(np.testing.assert_array_equal, tree, TREE)
    checkpoints.save(2, TREE)  # which was removed
    checkpoints.close()


def test_without_a_whole_checkpoint_the_folder_is_named_and_left_as_it_is(kept):
    for step in "12":
        damage_values(kept / step)
    before = sorted(kept.rglob("*"))
    checkpoints = Checkpoints(kept)
    with pytest.raises(ValueError, match=rf"in {kept} those of steps \[2, 1\] are dam"):
        checkpoints.restore(TREE)
    checkpoints.close()
    assert sorted(kept.rglob("*")) == before


def test_a_run_of_another_network_is_refused(kept):
    checkpoints = Checkpoints(kept)
    with pytest.raises(ValueError, match="or of another network"):
        checkpoints.restore({**TREE, "w": np.zeros((3, 4))})
    checkpoints.close()


def test_what_a_killed_process_left_half_written_is_removed(kept):
    shutil.copytree(kept / "2", kept / "3.orbax-checkpoint-tmp")
    checkpoints = Checkpoints(kept)
    assert checkpoints.latest == 2
    checkpoints.save(3, TREE)
    checkpoints.close()
    assert {p.name for p in kept.iterdir()} == {"2", "3"}
