"""Results in the formats that other tools read: COCO, plain JSON."""

from grounding_sdk.formats.coco import CocoWriter, coco_dict
from grounding_sdk.formats.json_result import grounding_dict
from grounding_sdk.formats.rle import Rle, mask_rle

__all__ = ["CocoWriter", "Rle", "coco_dict", "grounding_dict", "mask_rle"]
