"""The picture of a diagnosis shows its numbers."""

import numpy as np
import pytest
import xarray as xr

from wdno import plotting


@pytest.fixture
def found():
    draw = np.random.default_rng(0)
    sizes = {"sigma": 5, "field": 2, "channel": 8, "time": 4, "rank": 4}

    def some(*dims):
        return dims, draw.uniform(0.5, 1.5, [sizes[dim] for dim in dims])

    found = xr.Dataset(
        {
            "denoising_error": some("sigma", "field"),
            "transition_ratio": some("sigma"),
            "spread_skill_by_channel": some("channel"),
            "spread_skill_by_time": some("field", "time"),
            "energy_ratio": some("channel"),
            "rank_histogram": some("field", "rank"),
        },
        {
            "sigma": np.geomspace(0.01, 10, 5),
            "field": ["u", "v"],
            "units": ("field", ["m s-1", "1"]),
            "channel": [f"{name}:{band}" for name in "uv" for band in "abcd"],
            "time": np.arange(1.0, 5),
            "rank": np.arange(4),
        },
        {"calls": 1},
    )
    found["transition_ratio"][-1] = np.nan
    return found


def test_a_diagnosis_is_shown_beside_what_is_ideal(found, tmp_path):
    figure = plotting.diagnosis(found, limit=1.2)
    errors, ratios, ranks, spreads, energies, times = figure.axes
    for axis, values in ((errors, "denoising_error"), (ranks, "rank_histogram")):
        for line, name in zip(axis.lines, "uv", strict=False):
            np.testing.assert_array_equal(
                line.get_ydata(), found[values].sel(field=name)
            )
    ideal = [axis.lines[-1].get_ydata()[0] for axis in figure.axes[1:]]
    assert ideal == [1.2, 0.25, 1.0, 1.0, 1.0]
    np.testing.assert_array_equal(energies.lines[0].get_ydata(), found.energy_ratio)
    labels = [text.get_text() for text in spreads.get_xticklabels()]
    assert labels == list(found.channel.values)
    legend = [text.get_text() for text in errors.get_legend().get_texts()]
    assert legend == ["u [(m\N{NO-BREAK SPACE}s⁻¹)²]", "v"]
    assert spreads.get_title(loc="left") == "Spread over skill, 1 call"
    assert len(times.lines) == 3 and len(ratios.lines) == 2
    assert plotting.save(figure, tmp_path / "diagnosis.png").exists()


def test_values_that_are_no_numbers_leave_gaps(found, tmp_path):
    found["energy_ratio"][:3] = np.nan
    found["spread_skill_by_channel"][2] = np.inf
    plotting.save(plotting.diagnosis(found), tmp_path / "diagnosis.png")
