"""The log of a run by its stages."""

import json

import pytest

from wdno.training.history import history


def test_stages_are_read_in_their_order_and_cut_lines_left_out(tmp_path):
    for stage in ("denoiser", "mean"):
        (tmp_path / stage).mkdir()
        line = json.dumps({"step": 1, "seconds": 0.5, "loss": len(stage)})
        (tmp_path / stage / "log.jsonl").write_text(f'{line}\n{{"step": 2, "sec')
    found = history(tmp_path)
    assert list(found) == ["mean", "residual"]
    assert found["mean"] == [{"step": 1, "seconds": 0.5, "loss": 4}]
    (tmp_path / "log.jsonl").write_text("")
    assert list(history(tmp_path)) == ["mean", "residual"]
    assert history(tmp_path / "mean") == {"whole fields": found["mean"]}
    with pytest.raises(FileNotFoundError, match="none at .*other"):
        history(tmp_path / "other")
