"""The recipe on pictures made here: it runs, stops, goes on, and learns from what it is told."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from grounding_sdk.models.mini import train
from grounding_sdk.models.mini.data import Picture, Pictures, Source, hide_behind, mask_box
from grounding_sdk.models.mini.losses import assign, mask_loss, pair_iou
from grounding_sdk.models.mini.network import boxes_from_sides, positions, prompt_planes
from grounding_sdk.models.mini.pool import MASK_MARGIN, FeaturePool, cut_window, grow

WEIGHTS = Path(__file__).parents[3] / "weights" / "mini"


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
def config(dataset: Path, tmp_path: Path) -> train.TrainConfig:
    source = {"path": str(dataset), "kind": "coco", "weight": 1.0, "exhaustive": True}
    written = {
        "start": str(WEIGHTS),
        "out": str(tmp_path / "run"),
        "sources": [{**source, "grid": [1, 2], "scale": [0.9, 1.2]}],
        "size": 128,
        "slots": 4,
        "rest": 0.0,
        "batch": 2,
        "rate": 3e-4,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(written))
    return train.TrainConfig.read(path)


def test_a_misspelt_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("{start: a, out: b, sources: [], bach: 3}")
    with pytest.raises(ValueError, match="bach"):
        train.TrainConfig.read(path)


def test_both_heads_train_a_few_steps_and_go_on(config: train.TrainConfig) -> None:
    torch.manual_seed(0)
    train.fill(config, pictures_to_make=4)
    model, phrases = train.load_start(config)
    heads = {"detector": model.detector, "masker": model.masker}
    sources = {
        "detector": train.detector_losses(config, model, phrases),
        "masker": train.mask_losses(config, model),
    }
    for name, head in heads.items():
        head.requires_grad_(True).train()
        before = {k: v.clone() for k, v in head.state_dict().items()}
        loop = train.Loop(head, config, name)
        batches = [next(sources[name]) for _ in range(2)]
        assert all(torch.isfinite(loss) and loss > 0 for loss, _ in batches)
        loop.run(iter(batches[:1]))
        assert any(not torch.equal(before[k], v) for k, v in head.state_dict().items())
        again = train.Loop(head, config, name)
        assert again.step == 1
        assert torch.equal(next(iter(again.average.values())), next(iter(loop.average.values())))
    train.export(config)
    assert (Path(config.out) / "vision.safetensors").stat().st_size < 20e6


def test_pictures_are_seeded_and_boxes_fit_their_masks(config: train.TrainConfig) -> None:
    first, second = (Pictures(config.sources, 128, seed=3) for _ in range(2))
    for _ in range(6):
        a, b = first.draw(), second.draw()
        np.testing.assert_array_equal(a.pixels, b.pixels)
        for box, mask in zip(a.boxes, a.masks, strict=True):
            assert mask is not None
            assert np.abs(np.array(mask_box(mask)) - box).max() <= 25  # covered parts shrink it


def test_a_covered_object_goes() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 1
    picture = Picture(
        np.zeros((20, 20, 3), np.uint8),
        ["a"],
        np.array([[5, 5, 15, 15]], np.float32),
        [mask],
        [False],
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
    pictures = Pictures([Source(str(folder), "cutouts", 1.0)], 128, seed=1)
    picture = pictures.draw()
    assert set(picture.names) == {"disc"}
    for box, mask in zip(picture.boxes, picture.masks, strict=True):
        assert mask is not None
        assert mask.sum() > 0.3 * (box[2] - box[0]) * (box[3] - box[1])


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
    seen = train.in_windows(
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
        source=3,
    )
    features = [
        torch.randn(1, c, 64 // s, 64 // s)
        for c, s in zip((24, 48, 120, 352), (4, 8, 16, 32), strict=True)
    ]
    pool.write(1, picture, features, {"a": 0, "b": 1}, np.random.default_rng(0))
    assert pool.ready().tolist() == [1]
    for mine, theirs in zip(pool.load(np.array([1])), features, strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=2e-3)
    assert pool.names[1, :2].tolist() == [2, 0]
    assert pool.info[1].tolist() == [1, 3, 0]
