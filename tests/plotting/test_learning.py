"""The learning curve shows what was logged, stage after stage."""

import numpy as np
import pytest

from wdno import plotting
from wdno.plotting.learning import _smooth


def make_stages():
    def lines(count, level):
        found = [
            {"step": 10 * n, "seconds": 0.5 * n, "loss": level / n, "rate": 1.0}
            for n in range(1, count)
        ]
        at_end = {"step": 10 * count, "seconds": 0.5 * count}
        return [*found, at_end | {"validation_error": level / 9}]

    return {"mean": lines(5, 2.0), "residual": lines(9, 1.0)}


def test_stages_follow_each_other_on_both_clocks():
    figure = plotting.learning_curve(make_stages())
    (by_step, by_time, errors, _) = figure.axes
    mean, residual = by_step.lines[0], by_step.lines[2]
    np.testing.assert_array_equal(mean.get_xdata(), [10, 20, 30, 40])
    np.testing.assert_array_equal(residual.get_xdata()[:2], [60, 70])
    np.testing.assert_allclose(by_time.lines[2].get_xdata()[:2], [3.0, 3.5])
    np.testing.assert_allclose(errors.lines[0].get_xydata(), [[50, 2 / 9]])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["mean", "residual"]
    assert by_step.get_yscale() == errors.get_yscale() == "log"


def test_curves_are_means_over_neighbours():
    noise = np.random.default_rng(0).standard_normal(400)
    smooth = _smooth(noise)
    np.testing.assert_allclose(smooth[200], noise[190:211].mean())
    np.testing.assert_allclose(smooth[0], noise[:11].mean())
    np.testing.assert_array_equal(_smooth(noise[:5]), noise[:5])


def test_a_curve_needs_a_loss():
    for stages in ({}, {"mean": [{"step": 1, "seconds": 1.0}]}):
        with pytest.raises(ValueError, match="lines of a log with a `loss`"):
            plotting.learning_curve(stages)
