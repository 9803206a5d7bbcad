"""Models of the Hub, from a store on this machine that is laid out as its library does.

There is no network: whatever asks for it fails, as it would without one.
"""

import shutil
import sys

import pytest
from exportable import make_model

import wdno
from wdno import cli
from wdno.deployment import hub_page
from wdno.operator.checkpoint import read_card
from wdno.operator.hub import HubAddress, snapshot

hub = pytest.importorskip("huggingface_hub")
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A model with metrics, as it would be sent."""
    folder = tmp_path_factory.mktemp("hub")
    metrics = {"mse": {"mean": 0.5, "low": 0.4, "high": 0.6}, "samples": 9}
    notes = {"name": "tiny", "metrics": metrics, "data": {"title": "Rings"}}
    wdno.save(make_model(), folder / "model", notes=notes)
    words = f"publish {folder / 'model'} --to hf://owner/name --out {folder / 'page'}"
    cli.main([*words.split(), "--license", "mit", "--tags", "rings"])
    return folder / "page"


@pytest.fixture
def store(tmp_path, monkeypatch, published):
    """Two commits of a model: `main` is the second one, `v1` names the first."""
    repository = tmp_path / "models--owner--name"
    for reference, commit in {"v1": FIRST, "main": SECOND}.items():
        place = repository / "snapshots" / commit
        shutil.copytree(published, place)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / reference).write_text(commit)
    wdno.annotate(repository / "snapshots" / FIRST, name="older")

    def unreachable(*_, **how):
        if not how.get("local_files_only"):
            raise ConnectionError("no network")
        return found(*_, **how, cache_dir=tmp_path)

    found = hub.snapshot_download
    monkeypatch.setattr(hub, "snapshot_download", unreachable)
    return repository


def test_what_the_store_has_is_loaded_without_the_network(store):
    """By the branch, and pinned by a tag or a commit."""
    assert wdno.load("hf://owner/name").window == make_model().window
    names = {"": "tiny", "@main": "tiny", "@v1": "older", f"@{FIRST}": "older"}
    for revision, name in names.items():
        assert read_card(f"hf://owner/name{revision}")["name"] == name


def test_what_neither_the_store_nor_the_hub_has_is_told(store):
    for address in ("hf://owner/other", f"hf://owner/name@{'3' * 40}"):
        with pytest.raises(FileNotFoundError, match="not in the local store.*network"):
            wdno.load(address)
    (store / "snapshots" / SECOND / "model.safetensors").unlink()  # half fetched
    with pytest.raises(FileNotFoundError, match="no network"):
        wdno.load("hf://owner/name")


def test_what_is_missing_is_fetched_once_and_nothing_else_of_a_repository(
    store, monkeypatch, published
):
    asked = []

    def fetched(repository, *, revision, allow_patterns, local_files_only=False):
        if local_files_only:
            raise hub.errors.LocalEntryNotFoundError("no such snapshot")
        asked.append((repository, revision, allow_patterns))
        return str(published)

    monkeypatch.setattr(hub, "snapshot_download", fetched)
    assert snapshot("hf://owner/new@v2") == published
    assert asked == [("owner/new", "v2", ["card.json", "*.safetensors"])]


@pytest.mark.parametrize("address", ["hf://", "hf://name", "hf://a/b/c", "hf://a/b@"])
def test_addresses_that_are_none_are_refused(address):
    with pytest.raises(ValueError, match="hf://owner/name, with @revision"):
        HubAddress.parse(address)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModuleNotFoundError, match=r"wdno\[hub\]"):
        wdno.load("hf://owner/name")


def test_the_hub_understands_the_card(published):
    card = hub.ModelCard.load(published / "README.md")
    assert card.data.library_name == "wdno" and card.data.license == "mit"
    assert "rings" in card.data.tags
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("mse", 0.5)
    assert result.dataset_name == "Rings" and "0.4 to 0.6" in result.metric_name
    assert 'wdno.load("hf://owner/name")' in card.text


def test_a_model_of_no_known_scores_has_a_card_too():
    card = {"parameters": 3, "targets": {}, "given": {}, "metrics": None}
    assert "model-index" not in hub_page.front_matter(card, "mit")
    assert hub_page.readme(card, "hf://a/b", "mit").startswith("---\nlibrary_name: ")


def test_nothing_is_written_over_and_no_damaged_model_published(published, tmp_path):
    how = {"license": "mit"}
    with pytest.raises(FileExistsError):
        hub_page.publish(published, published, "hf://a/b", **how)
    shutil.copytree(published, tmp_path / "damaged")
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="truncated"):
        hub_page.publish(tmp_path / "damaged", tmp_path / "new", "hf://a/b", **how)
    assert not (tmp_path / "new").exists()
