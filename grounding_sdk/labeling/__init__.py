"""Labelling whole datasets: jobs that never lose work, and the ledgers that they keep.

job = LabelJob("photos", Path("ontology.yaml"), "job")
summary = job.run()
export_job("job", "coco", "annotations")
"""

from grounding_sdk.labeling.errors import JobBusyError, LabelingError
from grounding_sdk.labeling.export import export_job
from grounding_sdk.labeling.items import Item, Items, find_items, load_source
from grounding_sdk.labeling.job import LabelJob, job_labels, read_job
from grounding_sdk.labeling.ledger import HUMAN, Entry, Head, Ledger
from grounding_sdk.labeling.progress import Progress, Summary
from grounding_sdk.labeling.recipe import Recipe
from grounding_sdk.labeling.work import Task
from grounding_sdk.labeling.workers import Engine

__all__ = [
    "HUMAN",
    "Engine",
    "Entry",
    "Head",
    "Item",
    "Items",
    "JobBusyError",
    "LabelJob",
    "LabelingError",
    "Ledger",
    "Progress",
    "Recipe",
    "Summary",
    "Task",
    "export_job",
    "find_items",
    "job_labels",
    "load_source",
    "read_job",
]
