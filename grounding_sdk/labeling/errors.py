"""What goes wrong with a job as a whole; an image that fails is an entry of the ledger."""

from __future__ import annotations

from grounding_sdk.errors import GroundingError


class LabelingError(GroundingError, RuntimeError):
    """A job, or its ledger, cannot be opened, read or written."""


class JobBusyError(LabelingError):
    """Another process is at work on the job."""
