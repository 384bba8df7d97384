"""Words in, pixels out: open-vocabulary grounding and segmentation.

>>> import grounding_sdk
>>> grounding_sdk.Query.of("dog . red car").labels
('dog', 'red car')

Importing the package is cheap: each name is loaded from its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grounding_sdk.errors import (
        ConfigError,
        CorruptWeightsError,
        GroundingError,
        ImageError,
        MissingExtraError,
        MissingWeightsError,
        PipelineError,
        PromptError,
        QueryError,
        RewriteError,
        UnknownModelError,
    )
    from grounding_sdk.evidence import Evidence
    from grounding_sdk.grounder import Grounder
    from grounding_sdk.grounding import Grounding
    from grounding_sdk.image import Image
    from grounding_sdk.labeling import LabelingError, LabelJob, Ledger, export_job
    from grounding_sdk.models.fakes import FakeDetector, FakeSegmenter
    from grounding_sdk.models.ports import Detector, MaskPrediction, Segmenter
    from grounding_sdk.models.registry import (
        load_detector,
        load_segmenter,
        register_detector,
        register_segmenter,
    )
    from grounding_sdk.pipeline import Pipeline
    from grounding_sdk.query import LabelRule, Phrase, Query
    from grounding_sdk.stages import Detect, Merge, Parse, Refine, Relate, Segment, Stage, Tile
    from grounding_sdk.target import Condition, Target

_HOMES = {
    "errors": (
        "ConfigError CorruptWeightsError GroundingError ImageError MissingExtraError "
        "MissingWeightsError PipelineError PromptError QueryError RewriteError UnknownModelError"
    ),
    "evidence": "Evidence",
    "grounder": "Grounder",
    "grounding": "Grounding",
    "image": "Image",
    "labeling": "LabelJob LabelingError Ledger export_job",
    "models.fakes": "FakeDetector FakeSegmenter",
    "models.ports": "Detector MaskPrediction Segmenter",
    "models.registry": "load_detector load_segmenter register_detector register_segmenter",
    "pipeline": "Pipeline",
    "query": "LabelRule Phrase Query",
    "stages": "Detect Merge Parse Refine Relate Segment Stage Tile",
    "target": "Condition Target",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__version__ = "0.1.0"
__all__ = [
    "Condition",
    "ConfigError",
    "CorruptWeightsError",
    "Detect",
    "Detector",
    "Evidence",
    "FakeDetector",
    "FakeSegmenter",
    "Grounder",
    "Grounding",
    "GroundingError",
    "Image",
    "ImageError",
    "LabelJob",
    "LabelRule",
    "LabelingError",
    "Ledger",
    "MaskPrediction",
    "Merge",
    "MissingExtraError",
    "MissingWeightsError",
    "Parse",
    "Phrase",
    "Pipeline",
    "PipelineError",
    "PromptError",
    "Query",
    "QueryError",
    "Refine",
    "Relate",
    "RewriteError",
    "Segment",
    "Segmenter",
    "Stage",
    "Target",
    "Tile",
    "UnknownModelError",
    "export_job",
    "load_detector",
    "load_segmenter",
    "register_detector",
    "register_segmenter",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
