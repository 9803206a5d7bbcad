"""The service in this process: answers of the verbs, refusals with their sentences."""

import asyncio
import io
import json
import re
import threading
import zipfile

import httpx
import jax
import numpy as np
import pytest
import xarray as xr
from exportable import make_model
from oracles import labelled, make_fields
from starlette.testclient import TestClient

import wdno
from wdno import cli
from wdno.deployment.batching import Simulator
from wdno.deployment.service import Limits, make_service
from wdno.trajectory import open_trajectories, save

SMALL = {"bytes_in": 60_000, "seconds": 60.0, "waiting": 3}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "model.stablehlo"
    wdno.export(make_model(), path, platforms=("cpu",), notes={"name": "tiny"})
    return Simulator(wdno.load_exported(path), largest=40_000)


@pytest.fixture(scope="module")
def client(simulator):
    with TestClient(make_service(simulator, Limits(**SMALL))) as client:
        yield client


def problems(rows, frames=4, seed=0):
    fields = make_fields(batch=rows, frames=frames, seed=seed)
    return labelled(fields).astype(np.float32)


def packed(dataset, folder, name="request.nc"):
    save(dataset, folder / name)
    return (folder / name).read_bytes()


def opened(content, folder):
    (folder / "answer").write_bytes(content)
    return open_trajectories(folder / "answer", ["u"]).load()


def expected(given, **how):
    key = jax.random.key(how.pop("seed", 0))
    u0 = given[["u"]].isel(time=0)
    return wdno.simulate(make_model(), u0, given[["f"]], key=key, **how)


def check(found, truth):
    assert found.u.dims == truth.u.dims
    np.testing.assert_allclose(found.u, truth.u, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found.f, truth.f)


def test_an_answer_is_what_simulate_returns(client, tmp_path):
    given = problems(1, frames=6)
    answer = client.post("/simulate?members=2&seed=5", content=packed(given, tmp_path))
    assert answer.status_code == 200, answer.text
    check(opened(answer.content, tmp_path), expected(given, members=2, seed=5))


def test_zarr_comes_back_as_zarr(client, tmp_path):
    given, content = problems(2), io.BytesIO()
    save(given, tmp_path / "request.zarr")
    with zipfile.ZipFile(content, "w") as archive:
        for path in (tmp_path / "request.zarr").rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    answer = client.post("/simulate", content=content.getvalue())
    assert answer.headers["content-type"] == "application/zip", answer.text
    check(opened(answer.content, tmp_path), expected(given))


def test_concurrent_requests_are_computed_together_and_answered_apart(
    simulator, tmp_path, monkeypatch
):
    """Each as if alone, whatever its seed, its rows and the others.

    The first one is computed alone, and holds the device until the others have come.
    """
    given = [problems(n, frames, n) for n, frames in ((1, 4), (2, 3), (1, 2), (2, 8))]
    contents = [packed(each, tmp_path) for each in given]
    calls = []
    come = threading.Semaphore(0)
    solved, problem = Simulator.solved, Simulator.problem

    def held(self, several):
        if not calls:
            all(come.acquire(timeout=60) for _ in given)
        calls.append(len(several))
        return solved(self, several)

    def read(self, *inputs, **numbers):
        made = problem(self, *inputs, **numbers)
        come.release()
        return made

    monkeypatch.setattr(Simulator, "solved", held)
    monkeypatch.setattr(Simulator, "problem", read)

    async def ask():
        service = make_service(simulator, Limits())
        transport = httpx.ASGITransport(app=service)
        async with (
            service.router.lifespan_context(service),
            httpx.AsyncClient(transport=transport, base_url="http://here") as client,
        ):
            return await asyncio.gather(
                *(
                    client.post(f"/simulate?seed={n}", content=content)
                    for n, content in enumerate(contents)
                )
            )

    answers = asyncio.run(ask())
    for n, (answer, each) in enumerate(zip(answers, given, strict=True)):
        assert answer.status_code == 200, answer.text
        check(opened(answer.content, tmp_path), expected(each, seed=n))
    assert sum(calls) == 4 and max(calls) > 1


def test_it_says_how_it_is_and_what_it_serves(client, simulator):
    assert client.get("/health").json() == {"status": "ok", "requests": 0}
    assert client.get("/card").json() == simulator.exported.card
    assert client.get("/program").json()["inputs"]["u0"]["shape"] == [8]


@pytest.mark.parametrize(
    "query, change, status, sentence",
    [
        ("", lambda d: b"no file", 400, "NetCDF"),
        ("", lambda d: d[: len(d) // 2], 400, "."),
        ("", lambda d: d + bytes(60_000), 413, "60000 bytes at most"),
        ("?members=0", None, 400, "counted from 1"),
        ("?members=-1", None, 400, "whole number"),
        ("?members=1000000000000", None, 400, "A result has 40000 bytes at most"),
        ("?frames=1000000000000", None, 400, "A result has 40000 bytes at most"),
        ("?seed=99999999999999999999", None, 400, "whole number"),
        ("?steps=3", None, 400, "Leave them out"),
    ],
)
def test_what_cannot_be_served_is_refused(
    client, tmp_path, query, change, status, sentence
):
    content = packed(problems(1), tmp_path)
    content = change(content) if change else content
    answer = client.post(f"/simulate{query}", content=content)
    assert answer.status_code == status, answer.text
    assert re.search(sentence, answer.json()["error"])
    assert "/tmp" not in answer.text
    assert client.get("/health").json()["requests"] == 0


@pytest.mark.parametrize(
    "change, status, sentence",
    [
        (lambda d: d.drop_vars("f"), 400, "'f'"),
        (lambda d: d.isel(x=slice(7)), 400, "x = "),
        (lambda d: d.where(d.u < -99), 400, "finite"),
        (lambda d: xr.concat([xr.zeros_like(d)] * 150, "sample"), 413, "in memory"),
    ],
)
def test_data_that_do_not_fit_are_refused_with_the_sentence_of_the_verbs(
    client, tmp_path, change, status, sentence
):
    """The last one compresses well: its file is small and its values are not."""
    data, path = change(problems(1, frames=8)), tmp_path / "request.nc"
    data.to_netcdf(path, encoding={n: {"zlib": True} for n in data.data_vars})
    answer = client.post("/simulate", content=path.read_bytes())
    assert answer.status_code == status, answer.text
    assert sentence in json.loads(answer.text)["error"]


def test_a_request_of_ten_gigabytes_is_refused_before_it_comes(client):
    """By what it declares; one that declares less is read up to the limit."""
    headers = {"content-length": str(10**10)}
    answer = client.post("/simulate", content=b"", headers=headers)
    assert answer.status_code == 413 and "at most" in answer.json()["error"]


def test_too_many_or_too_slow_requests_are_sent_away(simulator, tmp_path):
    content = packed(problems(1), tmp_path)
    with TestClient(make_service(simulator, Limits(waiting=0))) as client:
        answer = client.post("/simulate", content=content)
        assert answer.status_code == 503 and "Come again" in answer.json()["error"]
    with TestClient(make_service(simulator, Limits(seconds=1e-3))) as client:
        answer = client.post("/simulate", content=content)
        assert answer.status_code == 504 and "at most" in answer.json()["error"]


def test_what_does_not_simulate_is_not_served(simulator):
    other = dict(simulator.exported.description) | {"verb": "plan"}
    exported = type(simulator.exported)(
        simulator.exported.card, other, [], simulator.exported.program, 0
    )
    with pytest.raises(ValueError, match="A service simulates"):
        Simulator(exported)


def test_the_command_listens_on_this_machine_alone(tmp_path, monkeypatch, capsys):
    path, runs = tmp_path / "model.stablehlo", []
    wdno.export(make_model(), path, platforms=("cpu",))
    noted = lambda application, **where: runs.append((application, where))  # noqa: E731
    monkeypatch.setattr("uvicorn.run", noted)
    cli.main(f"serve {path} --rows 1 --port 8123".split())
    ((application, where),) = runs
    assert where == {"host": "127.0.0.1", "port": 8123}
    with TestClient(application) as client:
        assert client.get("/health").status_code == 200
    with pytest.raises(SystemExit):
        cli.main(f"serve {tmp_path / 'missing'}".split())
    assert "A model is a shipped name" in capsys.readouterr().err
