"""The recipe on pictures made here: it runs, stops, goes on, and learns from what it is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from grounding_sdk.errors import ConfigError
from grounding_sdk.labeling import LabelJob, export_job
from grounding_sdk.models import precision
from grounding_sdk.models.mini import train_masker
from grounding_sdk.models.mini.attributes import ATTRIBUTES, COLOURS, colour_of, draw_pattern, dye
from grounding_sdk.models.mini.config import TrainConfig
from grounding_sdk.models.mini.curves import draw_curves
from grounding_sdk.models.mini.losses import (
    MATCH,
    OTHER,
    UNKNOWN,
    Truth,
    assign,
    detection_loss,
    mask_loss,
    pair_iou,
)
from grounding_sdk.models.mini.network import (
    MAPS,
    Regions,
    RegionTextHead,
    boxes_from_sides,
    positions,
    prompt_planes,
)
from grounding_sdk.models.mini.pictures import Picture, Pictures, hide_behind, mask_box
from grounding_sdk.models.mini.pool import MASK_MARGIN, FeaturePool, cut_window, grow
from grounding_sdk.models.mini.predictor import MiniDetector
from grounding_sdk.models.mini.sources import Source
from grounding_sdk.models.mini.text import PhraseEncoder
from grounding_sdk.models.mini.train import CHECKPOINT, CURVES, train
from grounding_sdk.models.mini.train_detector import Lexicon, relate
from grounding_sdk.models.mini.train_looks import choice_loss, phrase_of
from grounding_sdk.models.mini.weights import TEXT, TOKENIZER, VISION, load_text, load_vision

WEIGHTS = Path(__file__).parents[3] / "weights" / "mini"
PHOTOS = Path(__file__).parents[3] / "demos" / "images"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two photos with a square each, one of them also with a polygon."""
    (tmp_path / "set" / "images").mkdir(parents=True)
    images, annotations = [], []
    for i, colour in enumerate([(20, 60, 250), (40, 200, 40)]):
        pixels = np.full((120, 160, 3), 90, np.uint8)
        x, y, side = 30 + 20 * i, 25, 60
        pixels[y : y + side, x : x + side] = colour
        cv2.imwrite(str(tmp_path / "set" / "images" / f"{i}.png"), pixels)
        images.append({"id": i, "file_name": f"{i}.png", "height": 120, "width": 160})
        corners = [x, y, x + side, y, x + side, y + side, x, y + side]
        annotations.append(
            {
                "image_id": i,
                "category_id": i,
                "bbox": [x, y, side, side],
                "segmentation": [corners],
                "iscrowd": 0,
            }
        )
    categories = [{"id": 0, "name": "ball"}, {"id": 1, "name": "box"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(content))
    return tmp_path / "set"


@pytest.fixture
def phrases() -> PhraseEncoder:
    return PhraseEncoder(load_text(WEIGHTS / TEXT), WEIGHTS / TOKENIZER)


@pytest.fixture
def config_path(dataset: Path, tmp_path: Path) -> Path:
    source = {"path": str(dataset), "kind": "coco", "weight": 1.0, "exhaustive": True}
    written = {
        "start": str(WEIGHTS),
        "out": str(tmp_path / "run"),
        "sources": [{**source, "grid": [1, 2], "scale": [0.9, 1.2]}],
        "size": 128,
        "slots": 4,
        "first": 4,
        "fresh": 1,
        "batch": 2,
        "rounds": 2,
        "rate": 3e-4,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(written))
    return path


@pytest.fixture
def config(config_path: Path) -> TrainConfig:
    return TrainConfig.read(config_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"bach": 3}, "bach, expected fields of TrainConfig: start, out,"),
        ({"start": None}, "lacks start"),
        ({"heads": ["detectr"]}, "detectr"),
        ({"size": 160}, "multiple of 64, got 160"),
        ({"minutes": 0}, "minutes above zero"),
        ({"rate": "5e-4"}, "5.0e-4, not 5e-4"),
        ({"precision": "half"}, "'exact' or 'fast'"),
        ({"sources": []}, "a list of sources"),
        ({"sources": ["photos"]}, "source 1 of .* got 'photos'"),
        ({"kind": "cocoa"}, "kind among .*'cocoa'"),
        ({"weigth": 1}, "source 1 .* has weigth"),
        ({"path": "nowhere"}, "nothing at nowhere"),
        ({"absence": 2}, "between 0 and 1"),
    ],
)
def test_a_mistake_in_a_configuration_is_named(
    config_path: Path, change: dict[str, Any], message: str
) -> None:
    given = yaml.safe_load(config_path.read_text())
    of_source = {"kind", "weigth", "path", "absence"} & set(change)
    (given["sources"][0] if of_source else given).update(change)
    given = {name: value for name, value in given.items() if value is not None}
    config_path.write_text(yaml.safe_dump(given))
    with pytest.raises(ConfigError, match=message):
        TrainConfig.read(config_path)


@pytest.mark.parametrize("content", ["", "- a", "{start: ", "start"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "c.yaml").write_text(content)
    for path in (tmp_path / "c.yaml", tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match=path.name):
            TrainConfig.read(path)


@pytest.mark.parametrize(
    "kind, broken",
    [
        ("coco", {"annotations.json": "{}"}),
        ("coco", {"annotations.json": "{"}),
        ("coco", {"annotations.json": '{"images": [], "annotations": [], "categories": []}'}),
        ("cutouts", {}),
        ("named", {"dog.jpg": ""}),
        ("segments", {}),
    ],
)
def test_a_set_that_cannot_be_used_is_named(
    tmp_path: Path, kind: str, broken: dict[str, str]
) -> None:
    for name, content in broken.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        Pictures([Source(str(tmp_path), kind, 1.0)], 128)


def test_a_run_that_was_stopped_goes_on_and_ends(config: TrainConfig) -> None:
    out = Path(config.out)
    (out / "pool").mkdir(parents=True)
    lines: list[str] = []
    train(config, lines.append)
    first = torch.load(out / CHECKPOINT, weights_only=True)
    assert first["rounds"] == 2
    assert lines == ["encoding 4 pictures"]  # too short to tell of more
    del lines[:]
    train(replace(config, rounds=26, batch=1, fresh=0), lines.append)
    second = torch.load(out / CHECKPOINT, weights_only=True)
    assert second["rounds"] == 26
    assert second["seconds"] > first["seconds"]
    assert "round 25" in lines[0]
    assert "detector loss" in lines[0]
    assert "masker loss" in lines[0]
    for head in ("detector", "looks", "masker"):
        before, after = first["averages"][head], second["averages"][head]
        assert any(not torch.equal(before[k], v) for k, v in after.items())
    started, trained = load_file(WEIGHTS / VISION), load_file(out / VISION)
    for name in (n for n in started if n.startswith("encoder.")):
        assert torch.equal(started[name], trained[name])
    assert MiniDetector.load(out).default_threshold == MiniDetector.load(WEIGHTS).default_threshold


def test_an_interrupted_run_loses_nothing(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(line: str) -> None:
        if "round 2," in line:
            raise KeyboardInterrupt

    monkeypatch.setattr("grounding_sdk.models.mini.train.NOTE_EVERY", 1)
    config = replace(config, rounds=100, batch=1, heads=("looks",))
    with pytest.raises(KeyboardInterrupt):
        train(config, interrupt)
    assert torch.load(Path(config.out) / CHECKPOINT, weights_only=True)["rounds"] == 2
    with pytest.raises(ConfigError, match=r"trains \['looks'\]"):
        train(replace(config, heads=("masker",)))


def test_a_pool_of_other_pictures_is_refused(config: TrainConfig, dataset: Path) -> None:
    pool = FeaturePool(config.pool_directory, 4, 128)
    pool.claim([["ball", "box"]])
    pool.claim([["ball", "box"]])
    with pytest.raises(ConfigError, match="delete it"):
        pool.claim([["ball", "cup"]])
    with pytest.raises(ConfigError, match="delete it"):
        FeaturePool(config.pool_directory, 4, 192).claim([["ball", "box"]])
    with pytest.raises(ConfigError, match="delete it"):
        train(replace(config, leave_out=("ball",)))


def test_products_are_narrow_where_that_is_fast_and_weights_never(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow: list[bool] = []
    describe = RegionTextHead.describe

    def watched(*args: Any) -> Regions:
        narrow.append(torch.is_autocast_enabled("cpu"))
        return describe(*args)

    monkeypatch.setattr(RegionTextHead, "describe", watched)
    monkeypatch.setattr(precision, "is_fast_faster", lambda device: True)
    for name in get_args(precision.Precision)[::-1]:
        out = f"{config.out}-{name}"
        train(replace(config, precision=name, out=out, batch=1))
        heads = torch.load(Path(out) / CHECKPOINT, weights_only=True)["heads"]
        values = [value for head in heads.values() for value in head.values()]
        assert {value.dtype for value in values} == {torch.float32}
        assert all(value.isfinite().all() for value in values)
    assert narrow == [True] * 2 + [False] * 2


def test_narrow_products_teach_every_weight_of_the_mask_decoder(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a first look was taken without gradients; autocast would remember its weights."""
    train(replace(config, heads=("masker",)))
    monkeypatch.setattr(precision, "is_fast_faster", lambda device: True)
    model = load_vision(WEIGHTS / VISION)
    model.masker.requires_grad_(True)
    pool = FeaturePool(config.pool_directory, config.slots, config.size)
    lessons = train_masker.mask_losses(config, model, pool, np.random.default_rng(0))
    for _ in range(4):
        lesson = next(lessons)
        assert lesson is not None
        model.zero_grad()
        lesson[0].backward()  # type: ignore[no-untyped-call]
        assert all(weight.grad is not None for weight in model.masker.parameters())


def test_boxes_alone_teach_the_detector_alone(config: TrainConfig, dataset: Path) -> None:
    content = json.loads((dataset / "annotations.json").read_text())
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    (dataset / "annotations.json").write_text(json.dumps(content))
    train(replace(config, rounds=25))
    curves = torch.load(Path(config.out) / CHECKPOINT, weights_only=True)["history"][0]
    assert {name.split()[0] for name in curves} == {"round", "seconds", "detector"}


def test_one_head_can_train_on_the_pool_of_another_run(config: TrainConfig) -> None:
    train(replace(config, heads=("masker",)))
    other = replace(
        config, heads=("detector",), fresh=0, out=config.out + "2", pool=config.out + "/pool"
    )
    train(other)
    heads = torch.load(Path(other.out) / CHECKPOINT, weights_only=True)["heads"]
    assert list(heads) == ["detector"]
    assert not (Path(other.out) / "pool").exists()


def test_curves_are_a_picture(tmp_path: Path) -> None:
    draw_curves([{"round": 25, "seconds": 1, "loss": 2.0}], tmp_path / CURVES)
    assert not (tmp_path / CURVES).exists()
    history = [{"round": 25 * i, "seconds": i, "loss": 1 / i, "iou": 0.5} for i in (1, 2, 3)]
    draw_curves(history, tmp_path / CURVES)
    drawn = cv2.imread(str(tmp_path / CURVES))
    assert drawn is not None
    assert drawn.std() > 3


def test_pictures_are_seeded_and_boxes_fit_their_masks(config: TrainConfig) -> None:
    first, second = (Pictures(config.sources, 128, 3) for _ in range(2))
    for _ in range(6):
        a, b = first.draw(), second.draw()
        np.testing.assert_array_equal(a.pixels, b.pixels)
        for box, mask in zip(a.boxes, a.masks, strict=True):
            assert mask is not None
            assert np.abs(np.array(mask_box(mask)) - box).max() <= 25  # covered parts shrink it


def test_a_name_that_is_left_out_is_never_seen(config: TrainConfig) -> None:
    pictures = Pictures(config.sources, 128, 0, leave_out=["ball"])
    assert pictures.names == [["box"]]
    assert {name for _ in range(8) for name in pictures.draw().names} == {"box"}


def test_a_covered_object_goes() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 1
    picture = Picture(
        np.zeros((20, 20, 3), np.uint8),
        ["a"],
        np.array([[5, 5, 15, 15]], np.float32),
        [mask],
        [False],
        [None],
    )
    hide_behind(picture, np.ones((20, 20), np.uint8))
    assert picture.names == []
    assert picture.boxes.shape == (0, 4)


def test_cutouts_are_pasted_with_their_masks(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    folder.mkdir()
    rgba = np.zeros((40, 40, 4), np.uint8)
    cv2.circle(rgba, (20, 20), 18, (0, 0, 255, 255), -1)
    cv2.imwrite(str(folder / "disc.png"), rgba)
    (folder / "index.json").write_text(json.dumps([{"file": "disc.png", "label": "Disc"}]))
    pictures = Pictures([Source(str(folder), "cutouts", 1.0)], 128, 1)
    picture = pictures.draw()
    assert set(picture.names) == {"disc"}
    for box, mask in zip(picture.boxes, picture.masks, strict=True):
        assert mask is not None
        assert mask.sum() > 0.2 * (box[2] - box[0]) * (box[3] - box[1])


def test_the_best_positions_get_the_object() -> None:
    centres, strides = positions(64, 64)
    truth = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    boxes = boxes_from_sides(centres, torch.full((len(centres), 4), 16.0))
    iou, _ = pair_iou(boxes[:, None], truth[None])
    chosen, owner, target = assign(
        torch.full((len(centres), 1), 0.5), iou, centres, strides, truth, torch.tensor([False])
    )
    assert set(owner.tolist()) == {0}
    assert target.max() == pytest.approx(float(iou.max()), abs=1e-4)
    assert iou[chosen, 0].min() >= iou[:, 0].topk(12).values.min()


def test_where_not_all_is_labelled_a_part_of_an_object_is_still_no_object() -> None:
    boxes = torch.tensor([[0.0, 0, 32, 32], [4, 4, 20, 12], [40, 40, 60, 60]])  # whole, part, other
    objects = torch.zeros(1, 3, requires_grad=True)
    truth = Truth(
        torch.tensor([[0.0, 0, 32, 32]]),
        torch.tensor([0]),
        torch.tensor([False]),
        torch.tensor([[MATCH]]),
    )
    loss, _ = detection_loss(
        (torch.zeros(1, 3, 1), boxes[None], objects),
        torch.tensor([[16.0, 16], [60, 60], [60, 60]]),  # only the first is within the object
        torch.full((3,), 8.0),
        [truth],
        torch.tensor([[False]]),
        torch.tensor([False]),
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert objects.grad is not None
    whole, part, other = objects.grad[0].tolist()
    assert whole < 0 < part
    assert other == 0


@pytest.mark.parametrize("absence", [1.0, 0.25, 0.0])
def test_silence_of_pseudo_labels_proves_less(
    dataset: Path, phrases: PhraseEncoder, absence: float
) -> None:
    people = Source(str(dataset), "coco", 1.0)
    sources = [people, replace(people, absence=absence)]
    own = Lexicon.of(Pictures(sources, 128), phrases).own
    assert own.tolist() == [[1, 1], [absence, absence]]
    absent = torch.zeros(2, 1, 2, requires_grad=True)  # two pictures without any object
    nothing = Truth(
        torch.zeros(0, 4), torch.zeros(0).long(), torch.zeros(0).bool(), torch.zeros(0, 2).long()
    )
    loss, _ = detection_loss(
        (absent, torch.zeros(2, 1, 4), torch.zeros(2, 1)),
        torch.zeros(1, 2),
        torch.ones(1),
        [nothing, nothing],
        own,
        torch.tensor([False, False]),
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert absent.grad is not None
    assert absent.grad[0, 0, 0] > 0
    torch.testing.assert_close(absent.grad[1], absence * absent.grad[0])


def test_what_a_model_labelled_can_be_trained_on(tmp_path: Path) -> None:
    """The folder that `label` and `export --pictures` leave is a source as it is."""
    LabelJob(PHOTOS, "cat . cup", tmp_path / "job", detector="fake", segmenter="fake").run()
    export_job(tmp_path / "job", "coco", tmp_path / "pseudo", pictures=True)
    pictures = Pictures([Source(str(tmp_path / "pseudo"), "coco", 1.0, absence=0.25)], 128)
    assert pictures.names == [["cat", "cup"]]
    drawn = [pictures.draw() for _ in range(8)]
    assert {name for picture in drawn for name in picture.names} == {"cat", "cup"}
    assert any(mask is not None for picture in drawn for mask in picture.masks)


def test_a_perfect_mask_costs_little_and_a_wrong_one_much() -> None:
    target = torch.zeros(1, 56, 56)
    target[:, 10:40, 10:40] = 1
    right = (target * 20 - 10)[:, None].repeat(1, 3, 1, 1)
    quality = torch.full((1, 3), 6.0)
    good, _ = mask_loss(right, quality, target, torch.zeros(1))
    bad, _ = mask_loss(-right, quality, target, torch.zeros(1))
    assert good < 0.05 < 1 < bad


def test_prompts_are_drawn_where_they_are() -> None:
    window = torch.tensor([[0.0, 0.0, 28.0, 28.0]])
    planes = prompt_planes(
        window,
        torch.tensor([[7.0, 0.0, 14.0, 28.0]]),
        torch.tensor([[[20.5, 3.5], [2.5, 25.5]]]),
        torch.tensor([[1.0, 0.0]]),
    )[0]
    assert planes[0].sum() == 7 * 28
    assert divmod(int(planes[1].argmax()), 28) == (3, 20)
    assert divmod(int(planes[2].argmax()), 28) == (25, 2)


def test_a_stored_mask_is_seen_the_same_in_another_window() -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[30:70, 40:100] = 1
    box = np.array([40.0, 30.0, 100.0, 70.0])
    crop = cut_window(mask, grow(box, MASK_MARGIN), 80)
    window = torch.tensor([[20.0, 10.0, 120.0, 110.0]])
    seen = train_masker.in_windows(
        torch.from_numpy(crop).float()[None, None] / 255,
        torch.from_numpy(box[None]).float(),
        window,
    )
    expected = cut_window(mask, window[0].numpy(), 56) / 255
    assert np.abs(seen[0].numpy() - expected).mean() < 0.02


def test_the_pool_gives_back_what_was_put_in(tmp_path: Path) -> None:
    pool = FeaturePool(tmp_path, slots=2, size=64)
    picture = Picture(
        np.zeros((64, 64, 3), np.uint8),
        ["b"],
        np.array([[1, 2, 30, 40]], np.float32),
        [None],
        [True],
        ["red"],
        source=3,
    )
    features = [torch.randn(1, c, 64 // s, 64 // s) for c, s in MAPS]
    pool.write(1, picture, features, {"a": 0, "b": 1}, np.random.default_rng(0))
    assert pool.ready().tolist() == [1]
    for mine, theirs in zip(pool.load(np.array([1])), features, strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=2e-3)
    assert pool.names[1, :2].tolist() == [2, 0]
    assert pool.attributes[1, :2].tolist() == [ATTRIBUTES.index("red") + 1, 0]
    assert pool.info[1].tolist() == [1, 3, 0]


# --- attributes ------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", list(COLOURS))
def test_what_is_dyed_has_the_colour(colour: str) -> None:
    random = np.random.default_rng(0)
    shaded = np.tile(np.linspace(60, 220, 40).astype(np.uint8)[:, None, None], (1, 40, 3))
    rgba = np.dstack([shaded, np.full((40, 40), 255, np.uint8)])
    named = [colour_of(dye(rgba, colour, random)[..., :3], rgba[..., 3]) for _ in range(8)]
    assert named.count(colour) >= 5
    assert set(named) - {colour, None} <= {"grey", "brown", "red", "orange", "purple", "pink"}


def test_a_region_of_many_colours_has_none() -> None:
    pixels = np.zeros((30, 30, 3), np.uint8)
    pixels[:, :15] = (250, 240, 40)
    assert colour_of(pixels, np.ones((30, 30), bool)) is None
    assert colour_of(pixels, np.eye(30) > 2) is None  # nothing there


@pytest.mark.parametrize("pattern", ["striped", "spotted", "checked"])
def test_a_pattern_is_drawn_in_two_tones_and_keeps_the_outline(pattern: str) -> None:
    rgba = np.full((60, 60, 4), 90, np.uint8)
    rgba[..., 3] = 255
    drawn = draw_pattern(rgba, pattern, np.random.default_rng(1))
    assert (drawn[..., 3] == rgba[..., 3]).all()
    share = (np.abs(drawn[..., :3].astype(int) - 90).max(2) > 40).mean()
    assert 0.1 < share < 0.9


def test_the_right_choice_costs_less_and_a_missing_one_nothing() -> None:
    known = torch.tensor([[True, True, False, False]])
    none = torch.zeros(1)
    good, told = choice_loss(torch.tensor([[2.0, -2, 9, 9]]), none, known)
    bad, _ = choice_loss(torch.tensor([[-3.0, 3, 9, 9]]), none, known)
    loud, _ = choice_loss(torch.tensor([[2.0, -2, 9, 9]]), none + 1, known)
    assert good < 0.2 < 1 < loud < bad
    assert told["right"] == 1


def test_an_object_relates_to_phrases() -> None:
    nearness = torch.tensor([[1.0, 0.3, 0.9], [0.3, 1.0, 0.2], [0.9, 0.2, 1.0]])
    cars_and_cup = torch.tensor([0, 0, 1])
    relation = relate(cars_and_cup, torch.tensor([0, 1, 2]), nearness)  # car, cup, automobile
    assert relation.tolist() == [
        [MATCH, OTHER, UNKNOWN],
        [MATCH, OTHER, UNKNOWN],
        [OTHER, MATCH, OTHER],
    ]


def test_an_attribute_is_said_in_several_ways() -> None:
    random = np.random.default_rng(0)
    said = {phrase_of("cup", ATTRIBUTES.index("red"), random) for _ in range(40)}
    assert {"red cup", "cup that is red"} <= said
    assert all("red" in phrase for phrase in said)
