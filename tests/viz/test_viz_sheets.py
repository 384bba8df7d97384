"""Comparisons, contact sheets, cut-outs and files."""

import io
import os

import numpy as np
import PIL.Image
import pytest

from grounding_sdk.detections import compact_masks, detections_from_scores, with_columns
from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding
from grounding_sdk.image import Image
from grounding_sdk.query import Query
from grounding_sdk.viz import (
    class_color,
    compare,
    contact_sheet,
    cutouts,
    encode_png,
    save_picture,
)


def grounded(query, boxes, phrase_ids, *, size=(100, 150), pixels=None, masks=None, source=None):
    query = Query.of(query)
    table = np.zeros((len(boxes), len(query)))
    table[np.arange(len(boxes)), phrase_ids] = np.linspace(0.9, 0.5, len(boxes))
    found = detections_from_scores(size, query, np.array(boxes).reshape(-1, 4), table, 0.0)
    if masks is not None:
        found = with_columns(found, mask=compact_masks(*zip(*masks, strict=True), size))
    pixels = np.full((*size, 3), 90, np.uint8) if pixels is None else pixels
    return Grounding(Image(pixels, source), query, found)


def count(picture, color):
    return (picture == color).all(axis=2).sum()


def test_compare_gives_a_label_the_same_colour_on_both_sides():
    a = grounded("dog . cat", [[20, 20, 120, 80]], [1])
    b = grounded("cat", [[20, 20, 120, 80]], [0])
    picture = compare(a, b, legend=False)
    middle = picture.shape[1] // 2
    assert count(picture[:, :middle], class_color(1)) > 300
    assert count(picture[:, middle:], class_color(1)) > 300
    assert count(picture, class_color(0)) == 0


def test_compare_brings_pictures_of_different_sizes_to_one_height():
    small = grounded("dog", [[5, 5, 20, 20]], [0], size=(30, 60))
    picture = compare(grounded("dog", [], []), small, legend=False)
    assert picture.shape[1] >= 150 + 200
    assert 100 < picture.shape[0] < 180


def test_compare_writes_the_titles():
    a = grounded("dog", [], [])
    assert (compare(a, a, titles=("one", "two")) != compare(a, a, titles=("one", "owt"))).any()


def test_comparing_a_sliver_stays_small():
    sliver = grounded("dog", [[0, 0, 10, 1]], [0], size=(1, 3000))
    assert compare(grounded("dog", [], []), sliver).size < 3_000_000


def test_contact_sheet_takes_a_stream_of_all_shapes():
    shapes = [(30, 40), (900, 300), (1, 1), (200, 700), (50, 50)]
    stream = (
        grounded("dog", [[0, 0, 1, 1]], [0], size=shape, source="a/b.jpg") for shape in shapes
    )
    sheet = contact_sheet(stream, columns=2, thumb=200)
    assert sheet.dtype == np.uint8
    assert 400 < sheet.shape[1] < 500
    assert sheet.shape[0] > 200 + 2 * 30


def test_contact_sheet_is_about_square_unless_told():
    sheet = contact_sheet([grounded("dog", [], [])] * 9, thumb=150)
    assert 0.7 < sheet.shape[0] / sheet.shape[1] < 1.3


def test_contact_sheet_keeps_a_labels_colour_across_queries():
    one = grounded("dog . cat", [[20, 20, 120, 80]], [1])
    other = grounded("cat . dog", [[20, 20, 120, 80]], [0])
    sheet = contact_sheet([one, other], columns=1, thumb=150)
    assert count(sheet, class_color(1)) > 600
    assert count(sheet, class_color(0)) == 0


@pytest.mark.parametrize(("results", "options"), [(0, {}), (1, {"columns": 0}), (1, {"thumb": 0})])
def test_contact_sheets_that_cannot_be(results, options):
    with pytest.raises(ConfigError, match="expected"):
        contact_sheet([grounded("dog", [], [])] * results, **options)


def noise(size=(100, 150)):
    return np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)


def test_cutouts_along_masks():
    pixels, shape = noise(), np.array([[True, False], [True, True], [False, True]])
    grounding = grounded("dog", [[10, 20, 30, 40]], [0], pixels=pixels, masks=[(shape, (11, 22))])
    (cut,) = cutouts(grounding)
    assert (cut[:, :, 3] == shape * 255).all()
    assert (cut[:, :, :3] == pixels[22:25, 11:13]).all()


def test_cutouts_along_boxes_where_there_is_no_mask():
    pixels = noise()
    empty = [(np.zeros((0, 0), bool), (0, 0))]
    for masks in (None, empty):
        grounding = grounded("dog", [[10.4, 20, 30, 40]], [0], pixels=pixels, masks=masks)
        (cut,) = cutouts(grounding)
        assert cut.shape == (20, 20, 4)
        assert (cut[:, :, :3] == pixels[20:40, 10:30]).all()
        assert (cut[:, :, 3] == 255).all()


def test_cutouts_with_padding_end_at_the_picture():
    grounding = grounded("dog", [[0, 90, 20, 100]], [0])
    (cut,) = cutouts(grounding, pad=5)
    assert cut.shape == (15, 25, 4)
    assert (cut[:, :, 3] == 255).sum() == 10 * 20


def test_cutouts_on_a_background():
    shape = np.eye(4, dtype=bool)
    grounding = grounded("dog", [[0, 0, 9, 9]], [0], masks=[(shape, (3, 3))])
    (cut,) = cutouts(grounding, background=(255, 0, 10))
    assert cut.shape == (4, 4, 3)
    assert cut[0, 1].tolist() == [255, 0, 10]
    assert cut[1, 1].tolist() == [90, 90, 90]


def test_cutouts_of_nothing():
    assert cutouts(grounded("dog", [], [])) == []
    with pytest.raises(ConfigError, match="pad"):
        cutouts(grounded("dog", [], []), pad=-1)


def test_png_bytes_hold_the_picture():
    pixels = noise()
    assert (np.asarray(PIL.Image.open(io.BytesIO(encode_png(pixels)))) == pixels).all()


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("new/folder/a.png", "PNG"), ("a.webp", "WEBP")],
)
@pytest.mark.parametrize("channels", [3, 4])
def test_the_suffix_decides_the_format(tmp_path, name, format, channels):
    picture = np.full((20, 30, channels), 200, np.uint8)
    path = save_picture(picture, tmp_path / name)
    assert path == tmp_path / name
    with PIL.Image.open(path) as image:
        assert (image.format, image.size) == (format, (30, 20))
    assert os.listdir(path.parent) == [path.name]  # no partial file is left


def test_what_is_transparent_is_white_in_a_jpeg(tmp_path):
    path = save_picture(np.zeros((20, 30, 4), np.uint8), tmp_path / "cut.jpg")
    assert np.asarray(PIL.Image.open(path)).min() > 250


@pytest.mark.parametrize("name", ["picture", "picture.bmp", "picture.json"])
def test_unknown_suffixes(tmp_path, name):
    with pytest.raises(ConfigError, match=r"\.jpg, \.jpeg, \.png, \.webp"):
        save_picture(noise(), tmp_path / name)


@pytest.mark.parametrize("picture", [np.zeros((3, 4)), np.zeros((3, 4, 3)), noise()[:, :, :2]])
def test_what_is_no_picture(tmp_path, picture):
    with pytest.raises(ConfigError, match="uint8"):
        save_picture(picture, tmp_path / "a.png")


@pytest.mark.parametrize(("name", "width"), [("a.jpg", 65_501), ("a.webp", 16_384)])
def test_pictures_too_large_for_the_format(tmp_path, name, width):
    with pytest.raises(ConfigError, match=r"\.png"):
        save_picture(np.zeros((1, width, 3), np.uint8), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "a.png"
    folder.mkdir()
    with pytest.raises(OSError):
        save_picture(noise(), folder)
    assert os.listdir(tmp_path) == ["a.png"]
