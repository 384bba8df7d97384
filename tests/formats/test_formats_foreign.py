"""Files as other tools and people write them."""

from __future__ import annotations

import base64
import io
import json
import zlib

import numpy as np
import PIL.Image
import pytest
from formats.dataset_rows import RING, ROWS, SIZE, with_picture

from grounding_sdk.formats import (
    Annotated,
    FormatError,
    Mask,
    Object,
    cvat_shapes,
    read_coco,
    read_cvat,
    read_fiftyone,
    read_label_studio,
    read_labelme,
    read_voc,
    read_yolo,
    write_geojson,
    write_label_studio,
    write_yolo,
)
from grounding_sdk.formats.label_studio import brush_mask, brush_rle


def picture(path, size=SIZE, orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = PIL.Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    PIL.Image.new("RGB", size[::-1]).save(path, exif=exif)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


# YOLO


def test_yolo_as_roboflow_lays_it_out(tmp_path):
    names = ["cat", "dog"]
    splits = {"train": "../train/images", "val": "../valid/images", "test": "../test/images"}
    text(tmp_path / "data.yaml", {**splits, "nc": 2, "names": names})
    for folder in ("train", "valid", "test"):
        picture(tmp_path / folder / "images" / f"{folder}.jpg")
        text(tmp_path / folder / "labels" / f"{folder}.txt", "1 0.5 0.5 0.5 0.2\n\n")
    dataset = read_yolo(tmp_path)
    assert dataset.labels == ("cat", "dog")
    assert [(row.file_name, row.split) for row in dataset] == [
        ("train.jpg", "train"),
        ("valid.jpg", "val"),
        ("test.jpg", "test"),
    ]
    assert next(iter(dataset)).objects == (Object("dog", (10.0, 12.0, 30.0, 18.0)),)


def test_yolo_with_names_by_number_lists_of_pictures_scores_and_backgrounds(tmp_path):
    content = "train: train.txt\nval: null\nnames:\n  1: dog\n  0: cat\n  10: ox\n"
    data = text(tmp_path / "ds.yaml", content)
    text(tmp_path / "train.txt", "./images/b.jpg\n./images/a.jpg\n")
    picture(tmp_path / "images/a.jpg")
    picture(tmp_path / "images/b.jpg")
    lines = "0 0.5 0.5 1 1 0.75\n1 0 0 0.5 0 0.5 0.5 0 0.5 0.25\n2.0 0.25 0.25 0.5 0.5\n"
    text(tmp_path / "labels/a.txt", lines)
    background, row = read_yolo(data)
    assert (background.file_name, background.objects) == ("b.jpg", ())
    cat, dog, ox = row.objects
    assert cat == Object("cat", (0.0, 0.0, 40.0, 30.0), score=0.75)
    assert (dog.score, dog.mask) == (0.25, Mask(np.ones((15, 20), bool)))
    assert (ox.label, ox.score) == ("ox", None)


def test_a_picture_turned_by_exif_is_measured_as_it_is_seen(tmp_path):
    text(tmp_path / "data.yaml", "train: images\nval: images\nnames: [dog]\n")
    picture(tmp_path / "images/a.jpg", (30, 40), orientation=6)
    text(tmp_path / "labels/a.txt", "0 0.5 0.5 1 1\n")
    (row,) = read_yolo(tmp_path)
    assert (row.size, row.objects[0].box) == ((40, 30), (0, 0, 30, 40))


@pytest.mark.parametrize(
    "line", ["0 0.5 0.5", "3 0.5 0.5 1 1", "0 nan 0.5 1 1", "dog 1 1 1 1", "0.5 0.5 0.5 1 1"]
)
def test_damaged_yolo_names_the_file(tmp_path, line):
    text(tmp_path / "data.yaml", "train: images\nnames: [dog]\n")
    picture(tmp_path / "images/a.jpg")
    text(tmp_path / "labels/a.txt", line)
    with pytest.raises(FormatError, match=r"a\.txt"):
        list(read_yolo(tmp_path))


def test_yolo_refuses_two_pictures_with_one_file_of_labels(tmp_path):
    rows = [Annotated("a.jpg", SIZE), Annotated("a.png", SIZE)]
    with pytest.raises(FormatError, match="Rename one"):
        write_yolo(rows, tmp_path)


def test_yolo_without_pictures_says_what_is_missing(tmp_path):
    write_yolo([ROWS["hole"]], tmp_path)
    assert (tmp_path / "labels" / "hole.txt").read_text() == "0 0.375 0.333333 0.25 0.333333\n"
    assert list(read_yolo(tmp_path)) == []
    (tmp_path / "images").rmdir()
    with pytest.raises(FormatError, match="images, expected the pictures"):
        list(read_yolo(tmp_path))


# Pascal VOC

VOC = """<?xml version="1.0"?>
<annotation><folder>VOC2012</folder><filename>2007_000027.jpg</filename>
 <size><width>40</width><height>30</height><depth>3</depth></size><segmented>0</segmented>
 <object><name>person</name><difficult>1</difficult>
  <bndbox><xmax>20</xmax><xmin>1.0</xmin><ymin>3</ymin><ymax>30</ymax></bndbox>
  <part><name>head</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>4</xmax><ymax>5</ymax></bndbox>
  </part></object></annotation>"""


def test_voc_as_it_was_published(tmp_path):
    text(tmp_path / "Annotations" / "2007_000027.xml", VOC)
    for name, line in {"val": "", "trainval": "", "person_val": "  1"}.items():
        text(tmp_path / "ImageSets/Main" / f"{name}.txt", f"2007_000027{line}\n")
    picture(tmp_path / "JPEGImages" / "2007_000027.jpg")
    (row,) = read_voc(tmp_path)
    assert (row.file_name, row.size, row.split) == ("2007_000027.jpg", SIZE, "val")
    assert row.source.endswith("JPEGImages/2007_000027.jpg")
    assert row.objects == (Object("person", (0, 2, 20, 30), iscrowd=True),)


# LabelMe


def shape(kind, points, group=None, **fields):
    return {"label": "dog", "points": points, "group_id": group, "shape_type": kind} | fields


def labelme(folder, shapes, **fields):
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": "..\\raw\\a.jpg"}
    size = {"imageData": None, "imageHeight": 30, "imageWidth": 40}
    return text(folder / "a.json", content | size | fields)


def test_labelme_groups_rectangles_and_polygons_and_skips_other_shapes(tmp_path):
    shapes = [
        shape("polygon", [[0, 0], [4, 0], [4, 4], [0, 4]], 1),
        shape("rectangle", [[10, 4], [6, 0]], 1),
        shape("rectangle", [[30, 20], [20, 10]]),
        shape("rectangle", [[30, 20], [20, 10]]),
        shape("circle", [[5, 5], [9, 9]]),
        shape("linestrip", [[5, 5], [9, 9], [7, 7]]),
    ]
    (row,) = read_labelme(labelme(tmp_path, shapes))
    assert (row.file_name, row.size) == ("a.jpg", SIZE)
    both, one, other = row.objects
    assert (both.box, both.mask.area) == ((0, 0, 10, 4), 32)
    assert one == other == Object("dog", (20, 10, 30, 20))


def test_labelme_masks_must_have_the_size_of_their_corners(tmp_path):
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.eye(3, dtype=bool)).save(buffer, "PNG")
    mask = base64.b64encode(buffer.getvalue()).decode()
    (row,) = read_labelme(labelme(tmp_path, [shape("mask", [[5, 6], [7, 8]], mask=mask)]))
    assert row.objects[0].mask == Mask(np.eye(3), 5, 6)
    labelme(tmp_path, [shape("mask", [[5, 6], [8, 8]], mask=mask)])
    with pytest.raises(FormatError, match=r"a.json: a mask has 3 x 3 pixels, expected 4 x 3"):
        list(read_labelme(tmp_path))


def test_labelme_without_a_size_looks_at_the_picture(tmp_path):
    picture(tmp_path / "a.jpg", (7, 9))
    labelme(tmp_path, [], imageHeight=None, imageWidth=None)
    assert next(iter(read_labelme(tmp_path))).size == (7, 9)


# Label Studio


def region(kind, value, **fields):
    place = {"original_width": 40, "original_height": 30, "image_rotation": 0}
    names = {"from_name": "label", "to_name": "image", "type": kind}
    return place | names | {"value": value | {kind: ["dog"]}} | fields


def test_label_studio_as_it_exports(tmp_path):
    turned = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 90}
    regions = [
        region("rectanglelabels", {"x": 25, "y": 10, "width": 50, "height": 20, "rotation": 0}),
        region("rectanglelabels", turned),
        region("polygonlabels", {"points": [[0, 0], [50, 0], [50, 50], [0, 50]]}),
        region("ellipselabels", {"x": 1, "y": 1, "radiusX": 3, "radiusY": 4}),
        region("choices", {"choices": ["yes"]}),
        {"from_id": "a", "to_id": "b", "type": "relation"},
    ]
    task = {
        "id": 3,
        "data": {"image": "/data/upload/1/0f-a%20b.jpg"},
        "predictions": [{"result": [region("rectanglelabels", {"x": 0, "y": 0})]}],
        "annotations": [
            {"result": []},
            {"result": regions},
            {"result": [], "was_cancelled": True},
        ],
    }
    (row,) = read_label_studio(text(tmp_path / "export.json", [task]))
    assert (row.file_name, row.size) == ("data/upload/1/0f-a%20b.jpg", SIZE)
    plain, turned, polygon = row.objects
    assert plain.box == pytest.approx((10, 3, 30, 9))
    assert turned.box == pytest.approx((17, 15, 20, 25))
    assert (polygon.box, polygon.mask.area) == ((0, 0, 20, 15), 300)


@pytest.mark.parametrize(
    ("image", "url", "name"),
    [
        ("s3://bucket/pictures/a.jpg", "s3://bucket/", "pictures/a.jpg"),
        ("/data/local-files/?d=pictures/a%20b.jpg", "", "pictures/a b.jpg"),
        ("https://example.org/x/a%20b.jpg?v=1", "", "x/a b.jpg"),
        ("../../etc/a.jpg", "", "etc/a.jpg"),
    ],
)
def test_names_in_label_studio(tmp_path, image, url, name):
    path = text(tmp_path / "tasks.json", [{"data": {"image": image}}])
    (row,) = read_label_studio(path, url=url)
    assert (row.file_name, row.size, row.objects) == (name, (0, 0), ())


def test_label_studio_predictions_have_what_it_asks_for(tmp_path):
    write_label_studio([ROWS["many"]], tmp_path, url="s3://b/", model_version="mini")
    (task,) = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
    (prediction,) = task["predictions"]
    assert task["data"]["image"] == "s3://b/many.png"
    assert (prediction["model_version"], prediction["score"]) == ("mini", 0.4375)
    brush, box, *_ = prediction["result"]
    assert (brush["type"], brush["from_name"], brush["to_name"]) == (
        "brushlabels",
        "brush",
        "image",
    )
    assert (brush["value"]["format"], brush["value"]["brushlabels"]) == ("rle", ["dog"])
    expected = {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0}
    assert box["value"] == expected | {"rectanglelabels": ["hot dog"]}
    config = (tmp_path / "config.xml").read_text("utf-8")
    assert '<BrushLabels name="brush" toName="image">' in config
    assert '<Label value="hot dog" />' in config


def test_brushes_with_runs_of_all_lengths_and_single_values():
    wide = np.zeros((3, 30_000), bool)
    wide[0, :] = wide[2, 7] = wide[1, 29_990:] = True
    mask = Mask(wide)
    assert brush_mask(brush_rle(mask, wide.shape), wide.shape) == mask
    # 2 pixels, the values one by one: 0 0 0 9, 0 0 0 0, as their canvas may give them.
    bits = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + f"000{7:03b}" + f"{9:032b}{0:032b}"
    rle = [int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8)]
    assert brush_mask(rle, (1, 2)) == Mask(np.ones((1, 1), bool))


def test_damaged_brushes_are_refused():
    rle = brush_rle(RING, SIZE)
    with pytest.raises(FormatError, match="ends after"):
        brush_mask(rle[:-3], SIZE)
    with pytest.raises(FormatError, match="expected 4 for each pixel of 41 x 30"):
        brush_mask(rle, (30, 41))


# CVAT

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><job><labels>
<label><name>dog</name><color>#ff0000</color><attributes></attributes></label>
<label><name>cat</name><attributes></attributes></label></labels></job></meta>
<image id="0" name="day 1/a.jpg" subset="Train" task_id="5" width="40" height="30">
 <polygon label="dog" points="0.00,0.00;4.00,0.00;4.00,4.00;0.00,4.00" group_id="2" z_order="0">
  <attribute name="age">3</attribute></polygon>
 <polygon label="dog" occluded="0" points="10,0;12,0;12,2;10,2" group_id="2" z_order="0"/>
 <polygon label="dog" occluded="0" points="20,0;22,0;22,2;20,2" z_order="0"/>
 <box label="cat" occluded="1" xtl="10" ytl="10" xbr="20" ybr="14" rotation="90.00" z_order="0"/>
 <mask label="cat" occluded="0" rle="1, 2, 3" left="5" top="6" width="3" height="2" z_order="0"/>
 <points label="dog" points="1.00,2.00"/><tag label="dog"/>
</image></annotations>"""


def test_cvat_as_it_exports(tmp_path):
    dataset = read_cvat(text(tmp_path / "annotations.xml", CVAT))
    assert dataset.labels == ("dog", "cat")
    (row,) = dataset
    assert (row.file_name, row.size, row.split) == ("day 1/a.jpg", SIZE, "Train")
    grouped, alone, turned, brush = row.objects
    assert grouped.box == (0, 0, 12, 4)
    assert (alone.box, alone.mask.area) == ((20, 0, 22, 2), 4)
    assert turned.box == pytest.approx((13, 7, 17, 17))
    assert brush.mask == Mask(np.array([[0, 1, 1]]), 5, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('rle="1, 2, 3"', 'rle="1, 2, 4"'), "cover 7 pixels, expected 2 x 3"),
        (('left="5"', 'left="39"'), "outside of the picture"),
        (('rle="1, 2, 3"', ""), "rle"),
        (("0.00,0.00;", "0.00;"), "annotations.xml"),
        (("<image ", '<track id="0" label="dog"></track><image '), "tracks of a video"),
        (("</annotations>", ""), "as XML"),
    ],
)
def test_damaged_cvat_says_what_is_wrong(tmp_path, change, message):
    path = text(tmp_path / "annotations.xml", CVAT.replace(*change))
    with pytest.raises(FormatError, match=message):
        list(read_cvat(path))


def test_cvat_shapes_leave_out_weak_and_unknown_objects():
    shapes = cvat_shapes(ROWS["many"], {"dog": 4, "hot dog": 9}, min_score=0.3)
    assert [(shape["label_id"], shape["type"], shape["score"]) for shape in shapes] == [
        (4, "mask", 0.875),
        (4, "mask", 0.5),
    ]


# FiftyOne


def fiftyone_sample(array, box=(0.25, 0.1, 0.5, 0.2)):
    buffer = io.BytesIO()
    np.save(buffer, array)
    packed = base64.b64encode(zlib.compress(buffer.getvalue())).decode()
    detection = {"label": "dog", "bounding_box": box, "mask": packed}
    metadata = {"height": 30, "width": 40}
    sample = {"filepath": "/far/away/a.jpg", "metadata": metadata}
    return {"samples": [sample | {"detections": {"detections": [detection]}}]}


def test_fiftyone_stretches_masks_over_their_boxes(tmp_path):
    text(tmp_path / "samples.json", fiftyone_sample(np.array([[1, 0]], np.uint8)))
    (row,) = read_fiftyone(tmp_path)
    assert (row.file_name, row.source) == ("far/away/a.jpg", None)
    assert row.objects[0].mask == Mask(np.ones((6, 10), bool), 10, 3)


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros((500, 500), np.uint8), "unpacks to more than"), (np.array([{}]), "allow_pickle")],
)
def test_fiftyone_masks_neither_explode_nor_run_code(tmp_path, array, message):
    text(tmp_path / "samples.json", fiftyone_sample(array))
    with pytest.raises(FormatError, match=message):
        list(read_fiftyone(tmp_path))


def test_fiftyone_boxes_of_no_picture_are_refused(tmp_path):
    text(tmp_path / "samples.json", fiftyone_sample(np.ones((1, 1), bool), (0, 0, 1e5, 1e5)))
    with pytest.raises(FormatError, match="at most"):
        list(read_fiftyone(tmp_path))


# GeoJSON


def test_geojson_on_the_map(tmp_path):
    row = with_picture(ROWS["hole"], tmp_path)
    # Half a degree a pixel from (10, 60); y on the map points up.
    write_geojson([row], tmp_path, transform=lambda _: (0.5, 0, 10, 0, -0.5, 60), crs="EPSG:3857")
    data = json.loads((tmp_path / "hole.geojson").read_text())
    assert data["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::3857"
    (feature,) = data["features"]
    outer, hole = feature["geometry"]["coordinates"]
    assert sorted(map(tuple, outer[:-1])) == [(15, 52.5), (15, 57.5), (20, 52.5), (20, 57.5)]
    assert outer[0] == outer[-1]
    assert area(outer) == 25
    assert area(hole) == -4


def area(ring):
    """Positive for counterclockwise where y points up, as RFC 7946 wants outer rings."""
    x, y = np.array(ring).T
    return (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2


# All


@pytest.mark.parametrize(
    ("read", "name", "content"),
    [
        (read_coco, "annotations.json", {"images": [{"id": 1}], "categories": []}),
        (read_coco, "annotations.json", {"images": []}),
        (read_coco, "annotations.json", "[1, 2"),
        (read_coco, "annotations.json", [3]),
        (read_label_studio, "tasks.json", [{"data": {}}]),
        (read_labelme, "a.json", {"shapes": []}),
        (read_fiftyone, "samples.json", {"samples": [{}]}),
        (read_yolo, "data.yaml", "names: 3"),
        (read_yolo, "data.yaml", "- a: [\n"),
        (read_voc, "a.xml", "<annotation/>"),
        (read_voc, "a.xml", "no xml"),
        (read_cvat, "annotations.xml", "<annotations><image/></annotations>"),
    ],
)
def test_other_content_is_refused_and_the_file_named(tmp_path, read, name, content):
    path = text(tmp_path / name, content)
    with pytest.raises(FormatError, match=path.name):
        list(read(tmp_path))


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("doctype", [BOMB, '<!DOCTYPE x SYSTEM "file:///etc/passwd">'])
def test_xml_with_a_document_type_is_refused(tmp_path, doctype):
    voc = text(tmp_path / "voc" / "a.xml", VOC.replace("<annotation>", f"{doctype}<annotation>"))
    with pytest.raises(FormatError, match="document type"):
        list(read_voc(voc.parent))
    cvat = CVAT.replace("<annotations>", f"{doctype}<annotations>")
    with pytest.raises(FormatError, match="document type"):
        list(read_cvat(text(tmp_path / "annotations.xml", cvat)))
