"""The command from a configuration to weights that find more than before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grounding_sdk import Image, Query
from grounding_sdk.cli import main
from grounding_sdk.models.mini.predictor import MiniDetector
from grounding_sdk.models.mini.shapes import SHAPES, write_shapes
from grounding_sdk.models.mini.sources import Files, Photo, read_coco

WEIGHTS = Path(__file__).parents[2] / "weights" / "mini"


def right(weights: Path, files: Files, photos: list[Photo]) -> int:
    """In how many pictures the best box has the right name and lies on a shape's middle."""
    detector = MiniDetector.load(weights)
    query = Query.of(SHAPES).with_threshold(0.0)
    count = 0
    for photo in photos:
        found = detector.detect([Image.load(files.read(photo.file))], [query])[0]
        name, box = found["class_name"][0], found.xyxy[0]
        for a in photo.annotations:
            low = np.maximum(box[:2], a.box[:2])
            high = np.minimum(box[2:], a.box[2:])
            inter = (high - low).clip(0).prod()
            areas = (box[2:] - box[:2]).prod() + (a.box[2] - a.box[0]) * (a.box[3] - a.box[1])
            if name == a.name and inter / (areas - inter) > 0.5:
                count += 1
                break
    return count


def test_a_tiny_run_ends_with_weights_that_know_the_shapes_better(tmp_path, capsys):
    assert main(["train-mini", "--tiny", str(tmp_path)]) == 0
    out = tmp_path / "run"
    assert str(out) in capsys.readouterr().out
    assert (out / "curves.png").exists()
    files = Files(write_shapes(tmp_path / "new", 90, seed=9))
    photos, names = read_coco(files)
    assert names == sorted(SHAPES)
    assert right(out, files, photos) >= right(WEIGHTS, files, photos) + 5


@pytest.mark.parametrize("words", [[], ["a.yaml", "--tiny", "b"]])
def test_either_a_configuration_or_tiny(words, capsys):
    assert main(["train-mini", *words]) == 2
    assert "--tiny" in capsys.readouterr().err
