"""Every format gives back what it was given, as far as it can hold it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from formats.dataset_rows import LABELS, ROWS, with_picture

from grounding_sdk.formats import FORMATS, Annotated, Mask, in_splits, row_dict, row_from_dict
from grounding_sdk.formats.annotated import union
from grounding_sdk.formats.polygons import box_ring, polygons_mask

READABLE = [name for name, each in FORMATS.items() if each.read]


# What is left of an object in each format; None if it is left out.


def all_of_it(each, size):
    return each


def box_of_pixels(each, size):
    """One geometry only: with a mask, the box is that of its pixels; an empty mask is none."""
    return replace(each, box=each.mask.box) if each.has_pixels else replace(each, mask=None)


def only(*names):
    """Keeps label, box, mask and these fields."""
    gone = {"score": None, "mask_score": None, "phrase": None, "iscrowd": False}
    return {name: value for name, value in gone.items() if name not in names}


def no_crowds(each, size):
    return None if each.iscrowd else box_of_pixels(each, size)


def whole_pixels(each, size):
    box = tuple(float(round(value)) for value in each.box)
    return replace(each, box=box, mask=each.mask if each.has_pixels else None, **only("iscrowd"))


def box_alone(each, size):
    return None if each.iscrowd else replace(each, mask=None, **only())


def filled(each, size):
    """What has no mask is its box's pixels."""
    if each.iscrowd:
        return None
    mask = each.mask if each.has_pixels else polygons_mask([box_ring(each.box)], size)
    return replace(each, mask=mask, box=mask.box, **only())


LEFT = {
    "coco": all_of_it,
    "jsonl": all_of_it,
    "geojson": lambda each, size: replace(each, mask=each.mask if each.has_pixels else None),
    "huggingface": lambda each, size: replace(each, **only("score", "iscrowd")),
    "fiftyone": box_of_pixels,
    "labelme": lambda e, size: replace(
        box_of_pixels(e, size), **only("score", "phrase", "iscrowd")
    ),
    "label-studio": lambda e, size: (
        e if (e := no_crowds(e, size)) is None else replace(e, **only("score", "phrase"))
    ),
    "cvat": lambda e, size: e if (e := no_crowds(e, size)) is None else replace(e, **only()),
    "voc": whole_pixels,
    "yolo": box_alone,
    "yolo-seg": filled,
}
LEFT["labelme-masks"] = LEFT["labelme"]
LEFT["label-studio-polygons"] = LEFT["label-studio"]
LEFT["cvat-polygons"] = LEFT["cvat"]


def left(row, name):
    objects = (LEFT[name](each, row.size) for each in row.objects)
    return replace(row, objects=tuple(each for each in objects if each is not None))


def assert_same(got, expected):
    assert (got.file_name, got.size, got.split) == (
        expected.file_name,
        expected.size,
        expected.split,
    )
    assert len(got.objects) == len(expected.objects)
    for one, other in zip(got.objects, expected.objects, strict=True):
        # Centres, percents and widths are rounded by the formats, to far less than a pixel.
        assert one.box == pytest.approx(other.box, abs=0.006)
        if other.score is not None:
            assert one.score == pytest.approx(other.score, abs=1e-6)
        assert replace(one, box=(), score=None) == replace(other, box=(), score=None)


def there_and_back(name, rows, folder, labels=LABELS):
    rows = [with_picture(row, folder / "pictures") for row in rows]
    FORMATS[name].write(iter(rows), folder / "out", labels, pictures=True)
    return FORMATS[name].read(folder / "out")


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("splits", [[""], ["train", "val", "test"]], ids=["whole", "in splits"])
def test_what_comes_back(name, splits, tmp_path):
    rows = [
        replace(row, split=splits[index % len(splits)]) for index, row in enumerate(ROWS.values())
    ]
    got = there_and_back(name, rows, tmp_path)
    expected = {row.file_name: left(row, name) for row in rows}
    for _ in range(2):  # a dataset can be read again
        found = {row.file_name: row for row in got}
        assert sorted(found) == sorted(expected)
        for file_name, row in expected.items():
            assert_same(found[file_name], row)
            assert found[file_name].source.endswith(file_name.rpartition("/")[2])


@pytest.mark.parametrize("name", READABLE)
def test_labels_keep_their_order(name, tmp_path):
    labels = there_and_back(name, [ROWS["many"]], tmp_path).labels
    assert labels == (() if name in ("voc", "geojson") else LABELS)


@pytest.mark.parametrize("name", LEFT)
def test_labels_are_found_where_none_are_given(name, tmp_path):
    got = there_and_back(name, [ROWS["many"]], tmp_path, labels=())
    assert {each.label for row in got for each in row.objects} == {"dog", "hot dog", "犬"}
    assert got.labels in ((), ("dog", "hot dog", "犬"))


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("rows", [[], [ROWS["nothing"]]], ids=["no rows", "nothing marked"])
def test_no_labels_at_all(name, rows, tmp_path):
    got = there_and_back(name, rows, tmp_path, labels=())
    assert [row.objects for row in got] == [()] * len(rows)
    assert got.labels == ()


def test_semantic_maps_keep_the_pixels_of_each_label(tmp_path):
    got = {row.file_name: row for row in there_and_back("semantic", ROWS.values(), tmp_path)}
    assert sorted(got) == sorted(row.file_name for row in ROWS.values())
    for row in ROWS.values():
        if row.file_name == "many.png":
            continue
        by_label = {each.label: [] for each in row.objects if each.has_pixels and not each.iscrowd}
        for each in row.objects:
            if each.label in by_label:
                by_label[each.label].append(each.mask)
        found = {each.label: each.mask for each in got[row.file_name].objects}
        assert found == {label: union(masks) for label, masks in by_label.items()}


def test_the_better_object_has_the_pixel_of_a_semantic_map(tmp_path):
    (got,) = there_and_back("semantic", [ROWS["many"]], tmp_path)
    assert [each.label for each in got.objects] == ["dog"]


@pytest.mark.parametrize("name", FORMATS)
def test_exporting_again_from_a_ledgers_rows_gives_the_same_bytes(name, tmp_path):
    rows = [with_picture(row, tmp_path / "pictures") for row in ROWS.values()]
    rows = [
        replace(row, objects=tuple(replace(each, score=0.5) for each in row.objects))
        for row in in_splits(rows)
    ]
    read = [row_from_dict(json.loads(json.dumps(row_dict(row)))) for row in rows]
    contents = []
    for folder, written in (("one", rows), ("two", read)):
        for _ in range(2):
            FORMATS[name].write(written, tmp_path / folder, LABELS, pictures=True)
        files = sorted((tmp_path / folder).rglob("*"))
        assert not any(file.name.endswith(".part") for file in files)
        contents.append(
            {f.relative_to(tmp_path / folder): f.read_bytes() for f in files if f.is_file()}
        )
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_written_outside_of_the_folder(name, tmp_path):
    row = with_picture(Annotated("x.jpg", (4, 4)), tmp_path / "pictures")
    for bad in ["../up.jpg", "/etc/x.jpg", "a/../../x.jpg", "C:\\x.jpg", "", ".", "a\n.jpg"]:
        with pytest.raises(ValueError, match="file_name"):
            FORMATS[name].write([replace(row, file_name=bad)], tmp_path / "out", pictures=True)
    written = {p.name for p in tmp_path.rglob("*") if p.is_file()} - {"x.jpg"}
    assert written == set()


@pytest.mark.parametrize("name", FORMATS)
def test_a_label_that_is_not_listed_is_refused(name, tmp_path):
    row = ROWS["hole"]
    row = replace(row, objects=tuple(replace(each, score=0.5) for each in row.objects))
    with pytest.raises(ValueError, match=r"'dog'.*'cat'"):
        FORMATS[name].write([row], tmp_path, ["cat"])


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_picture_is_named(name, tmp_path):
    with pytest.raises(ValueError, match=r"empty.jpg"):
        FORMATS[name].write([ROWS["nothing"]], tmp_path, pictures=True)


@pytest.mark.parametrize("name", READABLE)
def test_reading_what_is_not_there_says_so(name, tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        list(FORMATS[name].read(tmp_path / "nowhere"))


def test_every_format_is_tried():
    assert set(LEFT) | {"semantic", "coco-results"} == set(FORMATS)


def test_masks_are_equal_by_their_pixels():
    ring = ROWS["hole"].objects[0].mask
    assert ring == Mask(ring.dense((30, 40)))
    assert ring != Mask(ring.crop, ring.x + 1, ring.y)
