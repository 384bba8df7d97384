"""Datasets in the formats that other tools read and write.

`Annotated` is a picture with what is marked in it; `write_...` takes an iterable of them, and
`read_...` gives them back. `FORMATS` has them all by name.
"""

from grounding_sdk.formats.annotated import (
    Annotated,
    Dataset,
    Mask,
    Object,
    to_detections,
)
from grounding_sdk.formats.coco import (
    CocoWriter,
    coco_dict,
    read_coco,
    write_coco,
    write_coco_results,
)
from grounding_sdk.formats.cvat import cvat_shapes, read_cvat, write_cvat
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.fiftyone import fiftyone_detection, read_fiftyone, write_fiftyone
from grounding_sdk.formats.geojson import read_geojson, write_geojson
from grounding_sdk.formats.groundings import annotated
from grounding_sdk.formats.huggingface import read_huggingface, write_huggingface
from grounding_sdk.formats.json_result import grounding_dict
from grounding_sdk.formats.jsonl import read_jsonl, row_dict, row_from_dict, write_jsonl
from grounding_sdk.formats.label_studio import read_label_studio, write_label_studio
from grounding_sdk.formats.labelme import read_labelme, write_labelme
from grounding_sdk.formats.polygons import joined, mask_polygons, polygons_mask
from grounding_sdk.formats.registry import FORMATS, Format
from grounding_sdk.formats.rle import Rle, mask_rle
from grounding_sdk.formats.semantic import read_semantic, semantic_map, write_semantic
from grounding_sdk.formats.splits import in_splits, split_of
from grounding_sdk.formats.supervision_dataset import from_supervision, to_supervision
from grounding_sdk.formats.voc import read_voc, write_voc
from grounding_sdk.formats.yolo import read_yolo, write_yolo

__all__ = [
    "FORMATS",
    "Annotated",
    "CocoWriter",
    "Dataset",
    "Format",
    "FormatError",
    "Mask",
    "Object",
    "Rle",
    "annotated",
    "coco_dict",
    "cvat_shapes",
    "fiftyone_detection",
    "from_supervision",
    "grounding_dict",
    "in_splits",
    "joined",
    "mask_polygons",
    "mask_rle",
    "polygons_mask",
    "read_coco",
    "read_cvat",
    "read_fiftyone",
    "read_geojson",
    "read_huggingface",
    "read_jsonl",
    "read_label_studio",
    "read_labelme",
    "read_semantic",
    "read_voc",
    "read_yolo",
    "row_dict",
    "row_from_dict",
    "semantic_map",
    "split_of",
    "to_detections",
    "to_supervision",
    "write_coco",
    "write_coco_results",
    "write_cvat",
    "write_fiftyone",
    "write_geojson",
    "write_huggingface",
    "write_jsonl",
    "write_label_studio",
    "write_labelme",
    "write_semantic",
    "write_voc",
    "write_yolo",
]
