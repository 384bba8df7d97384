"""Labelling whole datasets: jobs that never lose work, and the ledgers that they keep."""

from grounding_sdk.labeling.errors import JobBusyError, LabelingError
from grounding_sdk.labeling.ledger import HUMAN, Entry, Head, Ledger

__all__ = ["HUMAN", "Entry", "Head", "JobBusyError", "LabelingError", "Ledger"]
