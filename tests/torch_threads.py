"""Setting how many threads torch uses, and setting it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Has torch use `count` threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small models lose more by waiting for a second thread than they gain by it."""
    with torch_threads(1):
        yield
