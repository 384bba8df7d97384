"""Reads what we write with the tools that it is written for.

For those too heavy to be installed for every run of the tests:

    pip install ultralytics labelme cvat-sdk datumaro label-studio-sdk datasets fiftyone
    python tests/formats/against_their_readers.py [NAME ...]

Each check writes the rows of `dataset_rows.py` and compares masks, boxes and labels. The exit code
is 1 if one fails or its tool is not installed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from formats.dataset_rows import LABELS, ROWS, SIZE, with_picture

from grounding_sdk import formats

HEIGHT, WIDTH = SIZE


def example(folder):
    """The rows, with pictures and scores."""
    rows = [with_picture(row, folder / "pictures") for row in ROWS.values()]
    return [
        replace(row, objects=tuple(replace(each, score=0.5) for each in row.objects))
        for row in rows
    ]


def no_crowds(row):
    return [each for each in row.objects if not each.iscrowd]


def equal(got, expected, what):
    if not np.array_equal(got, expected):
        raise ValueError(f"{what}: got {got!r:.300}, expected {expected!r:.300}")


def close(got, expected, what, within=1e-3):
    if not np.allclose(got, expected, rtol=0, atol=within):
        raise ValueError(f"{what}: got {got!r:.300}, expected {expected!r:.300}")


def check_ultralytics(folder, rows):
    """Its dataset class loads boxes and polygons, without a warning, a line for each object."""
    os.environ.setdefault("YOLO_CONFIG_DIR", str(folder))
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    for task, shapes in (("detect", "box"), ("segment", "polygon")):
        out = folder / task
        splits = [replace(row, split=("train", "val")[i % 2]) for i, row in enumerate(rows)]
        formats.write_yolo(splits, out, LABELS, pictures=True, shapes=shapes)
        data = check_det_dataset(str(out / "data.yaml"), autodownload=False)
        equal(list(data["names"].values()), list(LABELS), "names")
        for split in ("train", "val"):
            dataset = YOLODataset(data[split], data=data, task=task, augment=False, imgsz=64)
            base = Path(data[split])
            found = {
                Path(label["im_file"]).relative_to(base).as_posix(): label
                for label in dataset.get_labels()
            }
            expected = {row.file_name: row for row in splits if row.split == split}
            equal(sorted(found), sorted(expected), "files")
            for name, row in expected.items():
                label, objects = found[name], no_crowds(row)
                labels = [LABELS[int(i)] for i in label["cls"].ravel()]
                equal(labels, [each.label for each in objects], f"{name} labels")
                centre, sides = label["bboxes"][:, :2], label["bboxes"][:, 2:]
                boxes = np.hstack([centre - sides / 2, centre + sides / 2])
                expected_boxes = [
                    each.mask.box if task == "segment" and each.has_pixels else each.box
                    for each in objects
                ]
                scale = np.array([WIDTH, HEIGHT] * 2)
                expected_boxes = np.array(expected_boxes, float).reshape(-1, 4)
                close(boxes * scale, expected_boxes, f"{name} boxes")
                if task == "segment":
                    equal(len(label["segments"]), len(objects), f"{name} segments")


def check_labelme(folder, rows):
    """Its label file, as polygons and as masks, filled by its own function."""
    from labelme._label_file import read_label_file
    from labelme.utils import shape_to_mask

    for shapes in ("polygon", "mask"):
        out = folder / shapes
        formats.write_labelme(rows, out, LABELS, pictures=True, shapes=shapes)
        for row in rows:
            data = read_label_file(str((out / row.file_name).with_suffix(".json")))
            equal(data.image_path, Path(row.file_name).name, "imagePath")
            boxes = [shape for shape in data.shapes if shape["shape_type"] == "rectangle"]
            expected = [each for each in row.objects if not each.has_pixels]
            equal([s["label"] for s in boxes], [e.label for e in expected], "rectangles")
            for shape, each in zip(boxes, expected, strict=True):
                close(np.ravel(shape["points"]), each.box, "rectangle")
            masks = [shape for shape in data.shapes if shape["shape_type"] != "rectangle"]
            groups = {}
            for index, shape in enumerate(masks):
                key = -index if shape["group_id"] is None else shape["group_id"]
                groups.setdefault((key, shape["group_id"] is None), []).append(shape)
            expected = [each for each in row.objects if each.has_pixels]
            equal(len(groups), len(expected), f"{row.file_name} objects")
            for parts, each in zip(groups.values(), expected, strict=True):
                equal({s["label"] for s in parts}, {each.label}, "labels")
                dense = np.zeros(SIZE, bool)
                for shape in parts:
                    if shapes == "mask":
                        (x1, y1), (x2, y2) = np.array(shape["points"]).astype(int)
                        dense[y1 : y2 + 1, x1 : x2 + 1] |= shape["mask"]
                    else:
                        dense |= shape_to_mask(SIZE, shape["points"], "polygon")
                # Pillow draws polygons with their outline.
                ours = each.mask.dense(SIZE)
                good = (dense | ~ours).all() if shapes == "polygon" else (dense == ours).all()
                equal(good, True, f"{row.file_name} {shapes}")


def check_cvat_sdk(folder, rows):
    """Its shape model takes our shapes, its decoder gives our masks."""
    from cvat_sdk import models
    from cvat_sdk.masks import decode_mask, encode_mask

    ids = {label: number for number, label in enumerate(LABELS, 1)}
    for row in rows:
        for fields, each in zip(formats.cvat_shapes(row, ids), row.objects, strict=True):
            shape = models.LabeledShapeRequest(**fields)
            equal(shape.label_id, ids[each.label], "label")
            if each.has_pixels:
                dense = each.mask.dense(SIZE)
                equal(list(shape.points), encode_mask(dense), "points")
                decoded = decode_mask(shape.points, image_width=WIDTH, image_height=HEIGHT)
                equal(decoded, dense, "mask")


def check_datumaro(folder, rows):
    """Datumaro's reader of CVAT's XML."""
    from datumaro.plugins.data_formats.cvat.base import CvatBase

    formats.write_cvat(rows, folder, LABELS, pictures=True)
    items = {Path(item.media.path): item for item in CvatBase(str(folder / "annotations.xml"))}
    for row in rows:
        item = items[folder / "images" / row.file_name]
        for found, each in zip(item.annotations, no_crowds(row), strict=True):
            equal(LABELS[found.label], each.label, "label")
            if each.has_pixels:
                equal(np.asarray(found.image, bool), each.mask.dense(SIZE), "mask")
            else:
                x, y, w, h = found.get_bbox()
                close([x, y, x + w, y + h], each.box, "box", within=0.01)


def check_label_studio_sdk(folder, rows):
    """Its brush decoder, and its converter to COCO with our configuration."""
    from label_studio_sdk.converter import Converter
    from label_studio_sdk.converter.brush import decode_rle, encode_rle

    formats.write_label_studio(rows, folder, LABELS, url="/data/local-files/?d=")
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    for task, row in zip(tasks, rows, strict=True):
        for region, each in zip(task["predictions"][0]["result"], no_crowds(row), strict=True):
            equal(region["value"][region["type"]], [each.label], "label")
            if each.has_pixels:
                rle = region["value"]["rle"]
                decoded = decode_rle(rle).reshape(*SIZE, 4)
                for channel in range(4):
                    equal(decoded[..., channel] == 255, each.mask.dense(SIZE), "brush")
                theirs = encode_rle((255 * each.mask.dense(SIZE)).astype(np.uint8).repeat(4))
                equal(formats.label_studio.brush_mask(theirs, SIZE) == each.mask, True, "theirs")

    formats.write_label_studio(rows, folder, LABELS, shapes="polygon")
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    for number, task in enumerate(tasks, 1):
        (prediction,) = task.pop("predictions")
        task["id"] = number
        task["annotations"] = [{"id": number, "result": prediction["result"]}]
    (folder / "done.json").write_text(json.dumps(tasks))
    converter = Converter((folder / "config.xml").read_text("utf-8"), str(folder))
    converter.convert_to_coco(
        str(folder / "done.json"), str(folder / "coco"), is_dir=False, output_image_dir=str(folder)
    )
    data = json.loads((folder / "coco" / "result.json").read_text("utf-8"))
    names = {category["id"]: category["name"] for category in data["categories"]}
    found, expected = [], []
    for entry in data["annotations"]:
        x, y, w, h = entry["bbox"]
        found.append((entry["image_id"], names[entry["category_id"]], x, y, x + w, y + h))
    for number, row in enumerate(rows):
        for each in no_crowds(row):
            box = each.mask.box if each.has_pixels else each.box
            expected.append((number, each.label, *box))
    found, expected = sorted(found), sorted(expected)
    equal([entry[:2] for entry in found], [entry[:2] for entry in expected], "converted labels")
    boxes = [entry[2:] for entry in found]
    close(boxes, [entry[2:] for entry in expected], "converted boxes", within=1.01)  # whole pixels


def check_datasets(folder, rows):
    """Hugging Face's imagefolder, in splits."""
    from datasets import load_dataset

    splits = [replace(row, split=("train", "validation")[i % 2]) for i, row in enumerate(rows)]
    formats.write_huggingface(splits, folder / "out", LABELS, pictures=True)
    loaded = load_dataset(
        "imagefolder", data_dir=str(folder / "out"), cache_dir=str(folder / "cache")
    )
    equal(sorted(loaded), ["train", "validation"], "splits")
    for split in loaded:
        expected = [row for row in splits if row.split == split]
        found = sorted(loaded[split], key=lambda entry: entry["image_id"])
        equal(len(found), len(expected), "rows")
        for entry, row in zip(found, expected, strict=True):
            equal(entry["image"].size, (WIDTH, HEIGHT), "picture")
            objects = entry["objects"]
            labels = [LABELS[index] for index in objects["category"]]
            equal(labels, [each.label for each in row.objects], "labels")
            corners = [[x, y, x + w, y + h] for x, y, w, h in objects["bbox"]]
            close(corners, [each.box for each in row.objects], "boxes")


def check_fiftyone(folder, rows):
    """The importer of its dataset format, which needs no database."""
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
    import fiftyone.utils.data as foud

    rows = [replace(row, split="val") for row in rows]
    out = folder / "out"
    formats.write_fiftyone(rows, out, LABELS, pictures=True)
    equal(foud.FiftyOneDatasetImporter(str(out))._is_legacy_format_data(), True, "form")
    with foud.LegacyFiftyOneDatasetImporter(str(out)) as importer:
        equal(importer.get_dataset_info(), {"default_classes": list(LABELS)}, "classes")
        equal(len(importer), len(rows), "samples")
        for sample, row in zip(importer, rows, strict=True):
            equal(sample.filepath, str(out / "data" / row.file_name), "filepath")
            equal(list(sample.tags), ["val"], "tags")
            equal((sample.metadata.height, sample.metadata.width), SIZE, "size")
            for detection, each in zip(sample.detections.detections, row.objects, strict=True):
                equal(detection.label, each.label, "label")
                equal(detection.confidence, 0.5, "confidence")
                if each.has_pixels:
                    segmentation = detection.to_segmentation(frame_size=(WIDTH, HEIGHT), target=1)
                    equal(segmentation.mask > 0, each.mask.dense(SIZE), "mask")


CHECKS = {
    name.removeprefix("check_"): check
    for name, check in list(globals().items())
    if name.startswith("check_")
}


def main(names):
    failed = []
    for name in names or CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                CHECKS[name](Path(folder).resolve(), example(Path(folder).resolve()))
            except ModuleNotFoundError as error:
                outcome = f"NOT RUN: {error}"
            except Exception:
                outcome = f"FAILED\n{traceback.format_exc()}"
            else:
                outcome = "ok"
        failed += [name] * (outcome != "ok")
        sys.stdout.write(f"{name}: {outcome}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
