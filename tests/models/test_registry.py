from __future__ import annotations

import sys
from pathlib import Path

import pytest
from weights_on_disk import isolate, write_hub_cache, write_mini, write_model

from grounding_sdk.errors import (
    ConfigError,
    CorruptWeightsError,
    MissingExtraError,
    MissingWeightsError,
    UnknownModelError,
)
from grounding_sdk.models import registry
from grounding_sdk.models.fakes import FakeDetector, FakeSegmenter
from grounding_sdk.models.ports import Detector, Segmenter
from grounding_sdk.models.registry import (
    load_detector,
    load_segmenter,
    model_names,
    register_detector,
    register_segmenter,
)


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    registered = {kind: dict(names) for kind, names in registry._registered.items()}
    monkeypatch.setattr(registry, "_registered", registered)
    return tmp_path


@pytest.fixture
def adapters(monkeypatch):
    """Stands in for the adapters' modules: what would be loaded, from where, under which name."""

    class Adapter(FakeDetector, FakeSegmenter):
        @classmethod
        def load(cls, path, *, name, device):
            model = cls(name=name)
            model.loaded = (cls.adapter, path, device)
            return model

    def import_adapter(name, adapter):
        return type("Adapter", (Adapter,), {"adapter": adapter.partition(":")[2]})

    monkeypatch.setattr(registry, "_import", import_adapter)


def test_the_fakes_are_there_by_name_and_fit_the_ports():
    assert isinstance(load_detector("fake"), Detector)
    assert isinstance(load_segmenter("fake"), Segmenter)


def test_an_instance_passes_through():
    detector, segmenter = FakeDetector(), FakeSegmenter()
    assert load_detector(detector) is detector
    assert load_segmenter(segmenter) is segmenter


@pytest.mark.parametrize(
    "load, thing, message",
    [
        (load_detector, FakeSegmenter(), "no detector: it lacks default_threshold, detect"),
        (load_segmenter, FakeDetector(), "no segmenter: it lacks encode, decode"),
        (load_detector, None, "NoneType.*lacks name"),
        (load_detector, ["mini"], "list.*lacks name"),
        (load_detector, FakeDetector, "is the class FakeDetector: pass an instance"),
    ],
)
def test_what_is_no_model_is_refused(load, thing, message):
    with pytest.raises(ConfigError, match=message):
        load(thing)


# Names.


@pytest.mark.parametrize(
    "load, name, parts",
    [
        (
            load_detector,
            "owlv2:bse",
            ["no detector named 'owlv2:bse'", "Did you mean", "'owlv2:base'"],
        ),
        (load_detector, "OWLv2", ["Did you mean 'owlv2'"]),
        (load_detector, "groundingdino:tiny", ["'grounding-dino:tiny'"]),
        (load_segmenter, "sam2:huge", ["'sam2:large'"]),
        (load_segmenter, "mni", ["'mini'", "Segmenters: mini, "]),
        (load_detector, "sam:vit-b", ["'sam:vit-b' is a segmenter, not a detector", "Detectors: "]),
        (load_segmenter, "owlv2", ["'owlv2' is a detector, not a segmenter"]),
        (load_detector, "", ["no detector named ''", "fake"]),
        (load_detector, "zebra", ["A local folder or a hub id (org/name) works too."]),
    ],
)
def test_unknown_names_say_what_is_near_and_what_exists(load, name, parts):
    with pytest.raises(UnknownModelError) as caught:
        load(name)
    for part in parts:
        assert part in str(caught.value)


def test_a_name_far_from_all_gets_no_suggestion():
    with pytest.raises(UnknownModelError) as caught:
        load_detector("zebra")
    assert "Did you mean" not in str(caught.value)


def test_a_name_loads_its_weights_with_its_adapter(adapters, home):
    snapshot = write_hub_cache(home / "hub", "google/owlv2-base-patch16-ensemble")
    for asked in ("owlv2", "owlv2:base-ensemble", "google/owlv2-base-patch16-ensemble"):
        detector = load_detector(asked, device="cpu")
        assert detector.name == "owlv2:base-ensemble"
        assert detector.loaded == ("OwlDetector", snapshot, "cpu")


def test_a_hub_id_outside_of_the_catalog_is_known_by_its_config(adapters, home):
    snapshot = write_hub_cache(home / "hub", "someone/fine-tuned", "mm-grounding-dino")
    detector = load_detector("someone/fine-tuned", device="cpu", offline=True)
    assert detector.name == "someone/fine-tuned"
    assert detector.loaded == ("GroundingDinoDetector", snapshot, "cpu")
    with pytest.raises(MissingWeightsError, match="offline=True"):
        load_detector("someone/else", offline=True)


# Paths.


@pytest.mark.parametrize(
    "model_type, adapter",
    [
        ("owlvit", "OwlDetector"),
        ("owlv2", "OwlDetector"),
        ("grounding-dino", "GroundingDinoDetector"),
        ("omdet-turbo", "OmDetTurboDetector"),
        ("sam3_video", "Sam3Detector"),
    ],
)
def test_a_folder_is_known_by_its_config(adapters, home, model_type, adapter):
    folder = write_model(home / "models" / "mine", model_type)
    for asked in (folder, str(folder), "models/mine", "./models/mine", Path("models/mine")):
        detector = load_detector(asked, device="cpu")
        assert detector.loaded[0] == adapter
        assert detector.loaded[1].resolve() == folder
        assert detector.name == str(asked)


def test_a_folder_of_the_embedded_model_is_known_by_its_files(adapters, home):
    folder = write_mini(home / "retrained")
    assert load_detector(folder, device="cpu").loaded == ("MiniDetector", folder, "cpu")
    assert load_segmenter(folder, device="cpu").loaded[0] == "MiniSegmenter"


def test_a_plain_folder_name_works_but_a_model_of_that_name_comes_first(adapters, home):
    write_model(home / "sam", "sam2_video")
    write_model(home / "mine", "sam2_video")
    assert load_segmenter("mine", device="cpu").loaded[0] == "HfSamSegmenter"
    with pytest.raises(MissingWeightsError, match="facebook/sam-vit-base"):
        load_segmenter("sam", offline=True)
    assert load_segmenter("./sam", device="cpu").name == "./sam"


def test_a_checkpoint_is_one_of_segment_anything(adapters, home):
    file = home / "finetuned.pth"
    file.write_bytes(b"zip")
    assert load_segmenter("finetuned.pth", device="cpu").loaded[:2] == (
        "SegmentAnythingSegmenter",
        Path("finetuned.pth"),
    )
    with pytest.raises(UnknownModelError, match="checkpoint of a segmenter, not of a detector"):
        load_detector(file)


@pytest.mark.parametrize(
    "asked", ["./nowhere", "no/where/deep", "/no/where", "~/no-such", "sam.pth", Path("mini")]
)
def test_a_path_to_nothing_is_called_that(asked):
    with pytest.raises(MissingWeightsError, match="there is no file or folder"):
        load_segmenter(asked)


def test_a_folder_that_holds_something_else_is_refused(home):
    with pytest.raises(UnknownModelError, match=r"type 'sam': it is a segmenter. Expected one of"):
        load_detector(write_model(home / "sam", "sam"))
    with pytest.raises(UnknownModelError, match="type 'bert': Expected one of owlvit"):
        load_detector(write_model(home / "bert", "bert"))
    (home / "empty").mkdir()
    with pytest.raises(MissingWeightsError, match=r"lacks config.json, \*.safetensors"):
        load_detector("./empty")
    with pytest.raises(ConfigError, match="pass its folder"):
        load_detector(home / "sam" / "config.json")
    (home / "bert" / "config.json").write_text("[1]")
    with pytest.raises(CorruptWeightsError, match="not a JSON object"):
        load_detector(home / "bert")


def test_a_damaged_folder_is_refused(home):
    folder = write_model(home / "mine")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CorruptWeightsError, match="cut short"):
        load_detector(folder)


# Extras and devices.


def test_a_missing_extra_names_its_install_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs timm.*pip install 'grounding_sdk\[timm\]'"):
        load_detector("omdet-turbo:tiny")


def test_a_missing_package_is_named(monkeypatch, home):
    (home / "sam.pth").write_bytes(b"zip")
    monkeypatch.setitem(registry.__dict__, "SEGMENT_ANYTHING", "no_such_package.module:Class")
    with pytest.raises(MissingExtraError, match="pip install no_such_package"):
        load_segmenter("sam.pth")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cuda:-1", "", 1.5, "mps"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ConfigError, match="device"):
        load_detector("fake", device=device)


def test_the_device_is_chosen_and_handed_on():
    import torch

    devices = []
    register_detector("mine", lambda device: devices.append(device) or FakeDetector())
    load_detector("mine")
    load_detector("mine", device="cpu")
    assert devices == ["cuda" if torch.cuda.is_available() else "cpu", "cpu"]


# Registered models and plug-ins.


def test_a_registered_model_is_loaded_and_listed():
    register_detector("mine", lambda device: FakeDetector(name="mine"))
    register_segmenter("mine", lambda device: FakeSegmenter(name="mine"))
    assert load_detector("mine").name == load_segmenter("mine").name == "mine"
    assert "mine" in model_names("detector")


@pytest.mark.parametrize("name", ["fake", "mini", "owlv2:base"])
def test_a_name_is_not_taken_by_accident(name):
    with pytest.raises(ConfigError, match="replace=True"):
        register_detector(name, lambda device: FakeDetector())
    register_detector(name, lambda device: FakeDetector(name="mine"), replace=True)
    assert load_detector(name).name == "mine"


def test_what_cannot_be_registered():
    for name in ("", " ", "org/name", None):
        with pytest.raises(ConfigError, match="expected a name"):
            register_detector(name, lambda device: FakeDetector())
    with pytest.raises(ConfigError, match="expected a function"):
        register_detector("mine", FakeDetector())
    register_detector("wrong", lambda device: FakeSegmenter())
    with pytest.raises(ConfigError, match=r"what the factory of 'wrong' returned.*no detector"):
        load_detector("wrong")


@pytest.fixture
def plugin(monkeypatch, home):
    """An installed distribution with entry points, one of which is broken."""
    site = home / "site"
    info = site / "my_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[grounding_sdk.detectors]\n"
        "theirs = my_plugin_module:make\n"
        "broken = my_plugin_module:no_such_function\n"
        "mini = my_plugin_module:make\n"
        "[grounding_sdk.segmenters]\n"
        "cutter:small = my_plugin_module:make_segmenter\n"
    )
    (site / "my_plugin_module.py").write_text(
        "from grounding_sdk.models.fakes import FakeDetector, FakeSegmenter\n"
        "def make(device): return FakeDetector(name='theirs on ' + device)\n"
        "def make_segmenter(device): return FakeSegmenter(name='cutter')\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("my_plugin_module", None)


def test_plugins_are_listed_and_loaded_only_when_asked_for(plugin):
    assert "theirs" in model_names("detector")
    assert "cutter:small" in model_names("segmenter")
    assert "my_plugin_module" not in sys.modules
    assert load_detector("theirs", device="cpu").name == "theirs on cpu"
    assert load_segmenter("cutter:small").name == "cutter"


def test_a_plugin_cannot_take_the_name_of_a_catalog_model(plugin, adapters, tmp_path, monkeypatch):
    monkeypatch.setattr(registry.store, "resolve", lambda info, offline: tmp_path)
    assert load_detector("mini", device="cpu").loaded[0] == "MiniDetector"


def test_a_broken_plugin_is_named(plugin):
    with pytest.raises(ConfigError, match="plug-in 'broken' of my-plugin cannot be loaded"):
        load_detector("broken")
    with pytest.raises(UnknownModelError, match="'theirs'"):
        load_detector("their")
