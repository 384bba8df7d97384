from __future__ import annotations

import configparser
import hashlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from weights_on_disk import (
    LFS_POINTER,
    TENSORS,
    isolate,
    write_embedded,
    write_hub_cache,
    write_mini,
    write_model,
)

from grounding_sdk.errors import ConfigError, CorruptWeightsError, MissingWeightsError
from grounding_sdk.models import catalog, store
from grounding_sdk.models.catalog import FileInfo, ModelInfo

ROOT = Path(__file__).parents[2]
OWL = catalog.lookup("owlv2:base")
MINI = catalog.lookup("mini")
CHECKPOINT = ModelInfo(
    "segment-anything:toy",
    "segmenter",
    "module:Class",
    source="toy.pth",
    licence="Apache-2.0",
    url="https://example.org/toy.pth",
    files={"toy.pth": FileInfo(5, hashlib.sha256(b"bytes").hexdigest())},
)


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    monkeypatch.setattr(store, "embedded_folder", lambda: tmp_path / "embedded")
    return tmp_path


@pytest.fixture
def chosen(monkeypatch, home):
    monkeypatch.setenv("GROUNDING_SDK_WEIGHTS", str(home / "chosen"))
    return home / "chosen"


# Where weights are found.


def test_places_are_tried_in_order(home, chosen):
    snapshot = write_hub_cache(home / "hub", OWL.source)
    assert store.find(OWL) == store.Search(
        snapshot,
        "cache",
        (
            f"{chosen / 'owlv2-base'} (no such folder)",
            f"{chosen / OWL.source} (no such folder)",
        ),
    )
    by_hub_id = write_model(chosen / OWL.source)
    assert store.find(OWL).path == by_hub_id
    by_name = write_model(chosen / "owlv2-base")
    assert (store.find(OWL).path, store.find(OWL).place) == (by_name, "folder")
    assert store.resolve(OWL) == by_name


def test_a_chosen_folder_comes_before_the_embedded_weights(home, chosen):
    embedded = write_embedded(home / "embedded")
    assert store.find(MINI) == store.Search(
        embedded, "embedded", (f"{chosen / 'mini'} (no such folder)",)
    )
    write_mini(chosen / "mini")
    assert store.find(MINI).path == chosen / "mini"
    (chosen / "mini" / "text.safetensors").unlink()
    assert store.find(MINI).looked == (f"{chosen / 'mini'} (lacks text.safetensors)",)


def test_a_checkpoint_is_found_by_its_file_name(home, chosen):
    cached = home / "cache" / "grounding_sdk" / "toy.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"bytes")
    assert store.find(CHECKPOINT).path == cached
    chosen.mkdir()
    (chosen / "toy.pth").write_bytes(b"bytes")
    assert store.resolve(CHECKPOINT) == chosen / "toy.pth"


@pytest.mark.parametrize(
    "damage, problem",
    [
        (lambda folder: (folder / "config.json").unlink(), "lacks config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"lacks \*.safetensors"),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                '{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model.safetensors"}}'
            ),
            "lacks model-1-of-2.safetensors",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text("<html>"),
            "is not JSON",
        ),
    ],
)
def test_an_incomplete_folder_is_passed_over_and_explained(home, chosen, damage, problem):
    folder = write_model(chosen / "owlv2-base")
    damage(folder)
    snapshot = write_hub_cache(home / "hub", OWL.source)
    search = store.find(OWL)
    assert search.path == snapshot
    assert re.search(problem, search.looked[0])


# What is said when they are nowhere.


def test_missing_weights_say_where_they_were_looked_for_and_how_to_get_them(home, chosen):
    with pytest.raises(MissingWeightsError) as caught:
        store.resolve(OWL)
    message = str(caught.value)
    for part in (
        "'owlv2:base' (google/owlv2-base-patch16, about 620 MB)",
        f"{chosen / 'owlv2-base'} (no such folder)",
        f"{home / 'hub' / 'models--google--owlv2-base-patch16'} (no such folder)",
        "google/owlv2-base-patch16 (unreachable: ",
        "grounding-sdk weights pull owlv2:base",
        "GROUNDING_SDK_WEIGHTS=DIR",
    ):
        assert part in message


@pytest.mark.parametrize(
    "variables, argument, reason",
    [
        ({"GROUNDING_SDK_OFFLINE": "1"}, None, "not asked: GROUNDING_SDK_OFFLINE is set"),
        ({"HF_HUB_OFFLINE": "True"}, None, "not asked: HF_HUB_OFFLINE is set"),
        ({}, True, "not asked: offline=True"),
        ({"GROUNDING_SDK_OFFLINE": "0"}, None, "unreachable"),
        ({"GROUNDING_SDK_OFFLINE": "1"}, False, "unreachable"),
    ],
)
def test_offline_switches(monkeypatch, variables, argument, reason):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MissingWeightsError, match=re.escape(reason)):
        store.resolve(OWL, argument)


@pytest.mark.parametrize(
    "error, reason",
    [
        (GatedRepoError, "gated: accept its licence"),
        (RepositoryNotFoundError, "no such model, or a private one"),
        (TimeoutError, "unreachable: TimeoutError: too slow"),
    ],
)
def test_why_the_hub_gave_nothing(monkeypatch, error, reason):
    def model_info(self, repo, *, timeout):
        assert timeout <= 5
        if error is TimeoutError:
            raise TimeoutError("too slow")
        raise error("no", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    with pytest.raises(MissingWeightsError, match=re.escape(reason)):
        store.resolve(OWL)


def test_a_missing_checkpoint_names_its_address_and_is_not_downloaded():
    with pytest.raises(MissingWeightsError, match=r"published at https://example.org/toy.pth"):
        store.resolve(CHECKPOINT)


def test_missing_embedded_weights_are_not_looked_for_on_the_hub(home):
    with pytest.raises(MissingWeightsError, match="Install grounding_sdk again") as caught:
        store.resolve(MINI)
    assert "hub" not in str(caught.value)


# What is damaged.


@pytest.mark.parametrize(
    "content, message",
    [
        (LFS_POINTER, "Git LFS pointer.*git lfs pull"),
        (TENSORS[:-1], "bytes, expected .*cut short"),
        (TENSORS[:20], "cut short"),
        (b"", "cut short"),
    ],
)
def test_damage_is_noticed_before_loading(home, chosen, content, message):
    folder = write_model(chosen / "owlv2-base")
    (folder / "model.safetensors").write_bytes(content)
    write_embedded(home / "embedded", content)
    for info in (OWL, MINI):
        with pytest.raises(CorruptWeightsError, match=message):
            store.resolve(info)


def test_a_checkpoint_of_another_size_is_noticed(home):
    file = home / "cache" / "grounding_sdk" / "toy.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"byte")
    with pytest.raises(CorruptWeightsError, match="has 4 bytes, expected 5"):
        store.resolve(CHECKPOINT)


def test_verify_compares_the_digests_of_manifest_catalog_and_cache(home):
    embedded = write_embedded(home / "embedded")
    assert store.verify(MINI, embedded) == ["vision.safetensors"]
    snapshot = write_hub_cache(home / "hub", OWL.source)
    assert store.verify(OWL, snapshot) == ["model.safetensors"]
    (home / "toy.pth").write_bytes(b"bytes")
    assert store.verify(CHECKPOINT, home / "toy.pth") == ["toy.pth"]
    assert store.verify(OWL, write_model(home / "unknown")) == []


def test_verify_notices_one_changed_byte(home):
    changed = TENSORS[:-1] + b"\x01"
    embedded = write_embedded(home / "embedded", changed)
    store.check(embedded)
    snapshot = write_hub_cache(home / "hub", OWL.source)
    (snapshot / "model.safetensors").resolve().write_bytes(changed)
    (home / "toy.pth").write_bytes(b"bytEs")
    for info, path in [(MINI, embedded), (OWL, snapshot), (CHECKPOINT, home / "toy.pth")]:
        with pytest.raises(CorruptWeightsError, match="sha256"):
            store.verify(info, path)


# What is fetched.


@pytest.fixture
def hub(monkeypatch, home):
    """A hub with one repository, half of which should not be taken."""
    offered = ["config.json", "model.safetensors", "pytorch_model.bin", "modeling.py", "vocab.txt"]
    asked = []

    def model_info(self, repo, *, timeout):
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in offered])

    def snapshot_download(repo, *, allow_patterns, local_dir):
        asked.append((repo, allow_patterns))
        return str(
            write_hub_cache(home / "hub", repo) if local_dir is None else write_model(local_dir)
        )

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def test_the_hub_is_asked_last_and_for_safe_files_only(hub):
    first = store.resolve(OWL)
    assert store.resolve(OWL) == store.pull(OWL) == first
    assert hub == [(OWL.source, ["config.json", "vocab.txt", "model.safetensors"])]


def test_pull_into_a_folder_makes_one_that_the_store_understands(hub, home, chosen):
    write_hub_cache(home / "hub", OWL.source)  # being in the cache is not being in the folder
    assert store.pull(OWL, chosen) == chosen / "owlv2-base"
    assert store.pull(OWL, chosen) == store.find(OWL).path
    assert len(hub) == 1


def test_a_repository_without_weights_is_missing_weights(hub, monkeypatch, home):
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda repo, **_: (home / "x").mkdir() or home / "x"
    )
    with pytest.raises(MissingWeightsError, match=r"has no config.json, \*.safetensors"):
        store.resolve(OWL)


def served(monkeypatch, home, content):
    (home / "served.pth").write_bytes(content)
    url = (home / "served.pth").as_uri()
    return ModelInfo(**{**vars(CHECKPOINT), "url": url})


def test_pull_downloads_a_checkpoint_and_checks_it(monkeypatch, home, chosen):
    info = served(monkeypatch, home, b"bytes")
    path = store.pull(info)
    assert (path, path.read_bytes()) == (chosen / "toy.pth", b"bytes")
    assert store.pull(info, home / "usb") == home / "usb" / "toy.pth"
    monkeypatch.delenv("GROUNDING_SDK_WEIGHTS")
    assert store.pull(info) == home / "cache" / "grounding_sdk" / "toy.pth"
    assert [file.name for file in chosen.iterdir()] == ["toy.pth"]


@pytest.mark.parametrize("content", [b"bytEs", b"byt", b"bytes and more", b""])
def test_a_wrong_download_leaves_nothing_behind(monkeypatch, home, content):
    with pytest.raises(CorruptWeightsError, match="nothing was kept"):
        store.pull(served(monkeypatch, home, content))
    assert list((home / "cache" / "grounding_sdk").iterdir()) == []


def test_pull_says_why_it_cannot(monkeypatch, home):
    with pytest.raises(MissingWeightsError, match="no network in this test"):
        store.pull(CHECKPOINT)
    with pytest.raises(ConfigError, match="comes with the package"):
        store.pull(MINI)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for info in (CHECKPOINT, OWL):
        with pytest.raises(MissingWeightsError, match="HF_HUB_OFFLINE is set; unset it"):
            store.pull(info)


# What is installed.


def test_every_package_is_listed_to_be_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options"]["packages"].split()
    inits = (ROOT / "grounding_sdk").rglob("__init__.py")
    packages = [".".join(file.relative_to(ROOT).parts[:-1]) for file in inits]
    assert listed == [*sorted(packages), "grounding_sdk.weights"]
