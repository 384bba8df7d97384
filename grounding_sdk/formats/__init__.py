"""Results in the formats that other tools read: COCO, plain JSON."""

from grounding_sdk.formats.annotated import (
    Annotated,
    Dataset,
    Mask,
    Object,
    annotated,
    to_detections,
)
from grounding_sdk.formats.coco import (
    CocoWriter,
    coco_dict,
    read_coco,
    write_coco,
    write_coco_results,
)
from grounding_sdk.formats.errors import FormatError
from grounding_sdk.formats.json_result import grounding_dict
from grounding_sdk.formats.jsonl import (
    read_jsonl,
    row_dict,
    row_from_dict,
    write_jsonl,
)
from grounding_sdk.formats.rle import Rle, mask_rle
from grounding_sdk.formats.splits import in_splits, split_of

__all__ = [
    "Annotated",
    "CocoWriter",
    "Dataset",
    "FormatError",
    "Mask",
    "Object",
    "Rle",
    "annotated",
    "coco_dict",
    "grounding_dict",
    "in_splits",
    "mask_rle",
    "read_coco",
    "read_jsonl",
    "row_dict",
    "row_from_dict",
    "split_of",
    "to_detections",
    "write_coco",
    "write_coco_results",
    "write_jsonl",
]
