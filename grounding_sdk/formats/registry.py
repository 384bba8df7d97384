"""All formats by name, so that who exports or imports needs to know none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from grounding_sdk.formats.annotated import Dataset
from grounding_sdk.formats.coco import read_coco, write_coco, write_coco_results
from grounding_sdk.formats.cvat import read_cvat, write_cvat
from grounding_sdk.formats.fiftyone import read_fiftyone, write_fiftyone
from grounding_sdk.formats.geojson import read_geojson, write_geojson
from grounding_sdk.formats.huggingface import read_huggingface, write_huggingface
from grounding_sdk.formats.jsonl import read_jsonl, write_jsonl
from grounding_sdk.formats.label_studio import read_label_studio, write_label_studio
from grounding_sdk.formats.labelme import read_labelme, write_labelme
from grounding_sdk.formats.semantic import read_semantic, write_semantic
from grounding_sdk.formats.voc import read_voc, write_voc
from grounding_sdk.formats.yolo import read_yolo, write_yolo


@dataclass(frozen=True)
class Format:
    """How a format is written and read.

    Attributes:
        write: `write(rows, folder, labels=(), *, pictures=False)`.
        read: `read(path)`, which returns a `Dataset`; None where there is nothing to be read.
        about: What it is, in a line.
    """

    write: Callable[..., None]
    read: Callable[..., Dataset] | None
    about: str


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "coco": Format(write_coco, read_coco, "COCO: boxes and RLE masks in one JSON"),
        "coco-results": Format(write_coco_results, None, "COCO's list of detections, for scoring"),
        "cvat": Format(write_cvat, read_cvat, "CVAT for images 1.1: boxes and masks in XML"),
        "cvat-polygons": Format(
            partial(write_cvat, shapes="polygon"), read_cvat, "the same with polygons"
        ),
        "fiftyone": Format(write_fiftyone, read_fiftyone, "FiftyOne: boxes with masks inside"),
        "geojson": Format(write_geojson, read_geojson, "GeoJSON: polygons with holes, in pixels"),
        "huggingface": Format(
            write_huggingface, read_huggingface, "Hugging Face datasets: imagefolder with metadata"
        ),
        "jsonl": Format(write_jsonl, read_jsonl, "JSON lines with all that is known"),
        "label-studio": Format(
            write_label_studio, read_label_studio, "Label Studio: predictions as brush strokes"
        ),
        "label-studio-polygons": Format(
            partial(write_label_studio, shapes="polygon"), read_label_studio, "the same as polygons"
        ),
        "labelme": Format(write_labelme, read_labelme, "LabelMe: polygons and rectangles"),
        "labelme-masks": Format(
            partial(write_labelme, shapes="mask"), read_labelme, "the same with masks as PNGs"
        ),
        "semantic": Format(write_semantic, read_semantic, "PNGs whose values are classes"),
        "voc": Format(write_voc, read_voc, "Pascal VOC: boxes and polygons in XML"),
        "yolo": Format(write_yolo, read_yolo, "YOLO detection: boxes in text files"),
        "yolo-seg": Format(
            partial(write_yolo, shapes="polygon"), read_yolo, "YOLO segmentation: polygons"
        ),
    }
)
