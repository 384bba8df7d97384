"""The stages that ship with the package, by the names that a pipeline's config uses."""

from grounding_sdk.stages.base import FunctionStage, Stage
from grounding_sdk.stages.detect import Detect
from grounding_sdk.stages.merge import Merge
from grounding_sdk.stages.parse import Parse
from grounding_sdk.stages.refine import Refine
from grounding_sdk.stages.relate import Relate
from grounding_sdk.stages.segment import Segment
from grounding_sdk.stages.tile import Tile

STAGES: dict[str, type] = {
    stage.name: stage for stage in (Parse, Detect, Tile, Merge, Relate, Segment, Refine)
}

__all__ = [
    "STAGES",
    "Detect",
    "FunctionStage",
    "Merge",
    "Parse",
    "Refine",
    "Relate",
    "Segment",
    "Stage",
    "Tile",
]
