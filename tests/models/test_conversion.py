from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from tiny_segmenters import save_hf
from torch_threads import one_thread  # noqa: F401
from weights_on_disk import isolate

from grounding_sdk import ConfigError, FakeSegmenter, MissingExtraError, load_segmenter
from grounding_sdk.benchmark.random_models import save_random
from grounding_sdk.cli import main
from grounding_sdk.models import conversion
from grounding_sdk.models.conversion import ENGINES, convert
from grounding_sdk.models.engines import import_openvino, installed_engines

KINDS = {
    "owlv2:base": "detector",
    "sam:vit-b": "segmenter",
    "segment-anything:vit-b": "segmenter",
}


@pytest.fixture
def to(request):
    if ENGINES[request.param] not in installed_engines():
        pytest.skip(f"{ENGINES[request.param]} is not installed")
    return request.param


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("owlv2:base", "onnx"),
        ("sam:vit-b", "onnx"),
        ("segment-anything:vit-b", "openvino"),
        ("owlv2:base", "openvino"),
    ],
    indirect=["to"],
)
def test_an_encoder_is_written_and_gives_what_torch_gives(to, name, tmp_path, capsys):
    path = save_random(name, KINDS[name], tmp_path / "model", tiny=True)
    out = tmp_path / "out"
    assert main(["convert", str(path), str(out), "--to", to]) == 0
    assert "features: " in capsys.readouterr().out
    about = json.loads((out / "encoder.json").read_text())
    assert list(about["outputs"]) == ["features"]
    assert about["input"]["shape"][:2] == [1, 3]
    assert 0 <= about["differences"]["features"] < 1e-4
    assert (out / {"onnx": "encoder.onnx", "openvino": "encoder.bin"}[to]).stat().st_size > 1000


@pytest.mark.parametrize("to", ["openvino"], indirect=True)
def test_mini_is_written_for_pictures_of_any_size(to, monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    weights = Path(__file__).parents[2] / "weights" / "mini"
    assert main(["convert", str(weights), str(tmp_path / "out"), "--to", to]) == 0
    about = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert about["input"] == {
        "name": "pixels",
        "shape": [1, 3, 320, 448],
        "pixels": "RGB, 0 to 255",
    }
    assert max(about["differences"].values()) < 1e-4
    network = import_openvino().Core().compile_model(str(tmp_path / "out" / "encoder.xml"), "CPU")
    found = network({"pixels": torch.zeros(1, 3, 128, 64).numpy()})
    assert found["embedding"].shape == (1, 64, 32, 16)


@pytest.mark.parametrize("module", ["openvino", "onnxruntime", "onnxscript", "onnx"])
def test_what_is_not_installed_is_named(module, monkeypatch, tmp_path):
    path = save_random("sam:vit-b", "segmenter", tmp_path / "model", tiny=True)
    segmenter = load_segmenter(path, device="cpu")
    for each in ("openvino", "onnxruntime", "onnxscript", "onnx"):
        present = type(sys)(each)
        present.__spec__ = sys.__spec__
        monkeypatch.setitem(sys.modules, each, None if each == module else present)
    extra = "openvino" if module == "openvino" else "onnx"
    with pytest.raises(MissingExtraError, match=rf"package {module}, .*grounding_sdk\[{extra}\]"):
        convert(segmenter, tmp_path / "out", extra)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_converted_is_refused(monkeypatch, tmp_path, capsys):
    with pytest.raises(ConfigError, match="'fake' cannot be converted: expected mini"):
        convert(FakeSegmenter(), tmp_path, "onnx")
    with pytest.raises(ConfigError, match="'onnx' or 'openvino'"):
        convert(FakeSegmenter(), tmp_path, "tflite")
    monkeypatch.setattr(conversion, "check_installed", lambda engine: None)
    path = save_hf("sam2", tmp_path / "model")
    assert main(["convert", str(path), str(tmp_path / "out")]) == 2
    assert "SAM only" in capsys.readouterr().err
    assert main(["convert", "samm:vit-b", str(tmp_path / "out")]) == 2
    assert "Did you mean" in capsys.readouterr().err
