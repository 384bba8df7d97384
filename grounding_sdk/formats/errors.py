"""What is wrong with a file of annotations, or with rows that a format cannot hold."""

from __future__ import annotations

from grounding_sdk.errors import GroundingError


class FormatError(GroundingError, ValueError):
    """Annotations that cannot be read, or that the format asked for cannot hold."""
