"""What `load` says of directories that are not what it expects."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest
import torch
from tiny_detectors import picture, save_grounding_dino, save_owl
from transformers import GroundingDinoForObjectDetection
from transformers.utils import logging

from grounding_sdk import Query
from grounding_sdk.errors import ConfigError, CorruptWeightsError, MissingWeightsError
from grounding_sdk.models.detectors.grounding_dino import GroundingDinoDetector
from grounding_sdk.models.detectors.owl import OwlDetector


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_owl(tmp_path_factory.mktemp("owl"), 1)


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_no_directory(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"no config\.json in .*nowhere"):
        OwlDetector.load(tmp_path / "nowhere", name="x")


def test_another_family(copy):
    with pytest.raises(ConfigError, match=r"'owlvit'.*grounding-dino, mm-grounding-dino"):
        GroundingDinoDetector.load(copy, name="x")


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_config_that_is_no_json_object(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(CorruptWeightsError, match="no JSON object"):
        OwlDetector.load(copy, name="x")


def test_no_weights(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match="no weights"):
        OwlDetector.load(copy, name="x")


@pytest.mark.parametrize("keep", [0, 5, 5000])
def test_truncated_weights(copy, keep):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(CorruptWeightsError, match="cannot be read"):
        OwlDetector.load(copy, name="x")


def test_weights_that_do_not_fit_are_not_filled_up_with_random_numbers(copy):
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CorruptWeightsError, match="do not fit"):
        OwlDetector.load(copy, name="x")


def test_weights_of_another_shape(copy):
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 40
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CorruptWeightsError, match="do not fit"):
        OwlDetector.load(copy, name="x")


@pytest.mark.parametrize("name", ["tokenizer.json", "processor_config.json"])
def test_a_missing_part_is_named(copy, name):
    (copy / name).unlink()
    part = {"tokenizer.json": "tokenizer", "processor_config.json": "image processor"}[name]
    with pytest.raises(MissingWeightsError, match=part):
        OwlDetector.load(copy, name="x")


def test_older_weights_without_pickled_code_are_read_and_pickles_refused(copy, saved):
    (copy / "model.safetensors").unlink()
    weights = OwlDetector.load(saved, name="x")._model.state_dict()
    torch.save(weights, copy / "pytorch_model.bin")
    image, query = picture(20, 30), Query.of("dog").with_threshold(0.0)
    [found] = OwlDetector.load(copy, name="x").detect([image], [query])
    [expected] = OwlDetector.load(saved, name="x").detect([image], [query])
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-5)

    torch.save({"weights": print}, copy / "pytorch_model.bin")
    with pytest.raises(CorruptWeightsError, match="safetensors"):
        OwlDetector.load(copy, name="x")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta:x"])
def test_a_device_that_is_not_there(saved, device):
    with pytest.raises(ConfigError, match=device):
        OwlDetector.load(saved, name="x", device=device)


def test_code_in_the_directory_is_not_run(copy):
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModelForZeroShotObjectDetection": "evil.Model"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text("raise SystemExit('ran')")
    OwlDetector.load(copy, name="x")


def test_nothing_is_printed_or_warned(saved, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector = OwlDetector.load(saved, name="x")
        detector.detect([picture(5, 9)], [Query.of("dog")])
    assert capfd.readouterr() == ("", "")


def test_settings_of_transformers_are_put_back(saved):
    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.is_grad_enabled()
    detector = OwlDetector.load(saved, name="x")
    detector.detect([picture(5, 5)], [Query.of("dog")])
    after = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.is_grad_enabled()
    assert before == after
    assert not torch.is_inference_mode_enabled()


def test_half_precision_weights_are_run_in_float32(tmp_path):
    directory = save_grounding_dino(tmp_path)
    model = GroundingDinoForObjectDetection.from_pretrained(directory)
    model.half().save_pretrained(directory)
    detector = GroundingDinoDetector.load(directory, name="x")
    assert {p.dtype for p in detector._model.parameters()} == {torch.float32}
    assert not detector._model.training
