"""Looking at results: every function takes groundings and returns RGB uint8 pictures."""

from grounding_sdk.viz.annotate import annotate
from grounding_sdk.viz.cutouts import cutouts
from grounding_sdk.viz.evidence import explain
from grounding_sdk.viz.files import encode_png, save_picture
from grounding_sdk.viz.palette import class_color
from grounding_sdk.viz.sheets import compare, contact_sheet

__all__ = [
    "annotate",
    "class_color",
    "compare",
    "contact_sheet",
    "cutouts",
    "encode_png",
    "explain",
    "save_picture",
]
