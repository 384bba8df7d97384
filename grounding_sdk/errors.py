"""Every error that grounding_sdk raises on purpose.

Each says what was expected, what came and what to do next, and also subclasses the builtin
that plain Python code would expect:

    GroundingError (Exception)
     ├── ImageError (ValueError)              a picture could not be read
     │    └── ImageNotFoundError (FileNotFoundError)
     ├── QueryError (ValueError)              the words asked for make no query
     ├── RewriteError (RuntimeError)          a rewriter's server gave no answer of use
     ├── PromptError (ValueError)             boxes, points or masks that a segmenter cannot use
     ├── ConfigError (ValueError)             a pipeline or option that cannot work
     ├── UnknownModelError (LookupError)      no model has this name
     ├── MissingExtraError (ImportError)      an optional package is not installed
     ├── MissingWeightsError (FileNotFoundError)  the weights are nowhere to be found
     ├── CorruptWeightsError (ValueError)     the weights are there but wrong
     └── PipelineError (RuntimeError)         a stage failed; names the stage and the item
"""

from __future__ import annotations


class GroundingError(Exception):
    """Base of all errors of this package."""

    def __str__(self) -> str:
        # LookupError's and OSError's own __str__ would quote or reorder the message.
        return str(self.args[0]) if self.args else ""


class ImageError(GroundingError, ValueError):
    """A picture could not be read."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """The path of a picture does not exist."""


class QueryError(GroundingError, ValueError):
    """The words asked for make no query."""


class RewriteError(GroundingError, RuntimeError):
    """A server that should put a query into other words gave no answer of use, or none in time."""


class PromptError(GroundingError, ValueError):
    """Boxes, points or masks of a shape or value that a segmenter cannot use."""


class ConfigError(GroundingError, ValueError):
    """A pipeline, stage or option that cannot work as given."""


class UnknownModelError(GroundingError, LookupError):
    """No model has this name."""


class MissingExtraError(GroundingError, ImportError):
    """An optional package is not installed."""


class MissingWeightsError(GroundingError, FileNotFoundError):
    """The weights of a model are in none of the places where they were looked for."""


class CorruptWeightsError(GroundingError, ValueError):
    """A weights file does not have the content that the catalog promises."""


class PipelineError(GroundingError, RuntimeError):
    """A stage failed on an item.

    Attributes:
        stage: Name of the stage (`"load"` where the picture could not be read).
        index: Position of the item among those given.
        source: Where the item's picture came from, if known.
    """

    def __init__(self, stage: str, index: int, source: str | None, cause: Exception) -> None:
        where = f"item {index}" + (f" ({source})" if source else "")
        super().__init__(f"stage '{stage}' failed on {where}: {cause or type(cause).__name__}")
        self.stage = stage
        self.index = index
        self.source = source
        self.__cause__ = cause
