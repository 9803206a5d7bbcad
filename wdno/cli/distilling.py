"""The command that makes one call of several."""

from dataclasses import replace
from pathlib import Path

from tyro.conf import Positional

from wdno._files import check_output_folder
from wdno.cli.runs import Flat
from wdno.cli.samplers import SAMPLERS, SamplerName
from wdno.networks.adapters import AdapterConfig
from wdno.operator.card_file import notes_of
from wdno.operator.checkpoint import load, read_card, save
from wdno.training import distillation
from wdno.training.teacher_pairs import Teacher
from wdno.trajectory import join_trajectories


def distill(
    model: Positional[str],
    data: Positional[tuple[str, ...]],
    *,
    out: Path,
    calls: int = 8,
    sampler: SamplerName = "dpmpp-2m",
    sigma: float | None = None,
    rank: int = 16,
    octaves: tuple[int, ...] = (16,),
    pairs: int = 2048,
    length: Flat,
) -> None:
    """Train an adapter by which one call does what several did.

    Writes the adapter, OUT/one-step.safetensors, which belongs to this model, and
    OUT/model, which is the model with it.

    Args:
        model: shipped name or folder, the teacher.
        data: files of trajectories with the variables that the model knows.
        out: folder of the run.
        calls: denoiser calls of the teacher.
        sampler: of the teacher; a deterministic one.
        sigma: noise level that the one call is told; the highest of the model by
            default.
        rank: of what is added to dense kernels and convolutions.
        octaves: ranks of what is added to spectral kernels, one for each octave of
            wavenumbers, the lowest first.
        pairs: samples of the teacher to learn from.
        length: how long and how it is trained; an eighth of the trajectories is held
            back.
    """
    check_output_folder(out)
    how = distillation.Distillation(
        Teacher(calls, SAMPLERS[sampler]),
        sigma,
        AdapterConfig(rank, octaves),
        pairs=pairs,
    )
    if length.batch_size is not None:
        how = replace(how, batch_size=length.batch_size)
    teacher, config = load(model), length.config()
    dataset = join_trajectories(data)
    quick = distillation.distill(teacher, dataset, out, config, how=how, **length.how())
    notes = notes_of(read_card(model))
    for stale in ("metrics", "diagnosis", "adapters"):  # those of the teacher
        notes.pop(stale, None)
    told = {"teacher": model, "calls": calls, "sampler": sampler, "pairs": pairs}
    save(quick, out / "model", notes=notes | {"distillation": told})
    print(f"Wrote {out / distillation.FILE}: an adapter of {model}")
    print(f"Wrote {out / 'model'}: use it by its path, for one step")
