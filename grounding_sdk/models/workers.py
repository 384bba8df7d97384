"""Independent tasks at the same time, the cores shared out among them.

torch spreads each operation over all cores, which pays where operations are large. Where there are
many small ones, a task for each core takes a fraction of the time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Task = TypeVar("Task")
Result = TypeVar("Result")

MOST = 8  # each takes memory of its own, and all share the bandwidth

_settling = threading.Lock()


def share_out(
    function: Callable[[Task], Result], tasks: Iterable[Task], cores: int
) -> list[Result]:
    """Returns the function's result for each task, in their order.

    Args:
        function: Safe to be run for several tasks at a time. Whether there are gradients, it
            inherits from the caller, as nothing else that torch keeps for each thread.
        tasks: What it is run for.
        cores: How many to use. Each of several threads makes its operations of an even part of
            them; one task alone, or one core, is run by the caller.

    Raises:
        Exception: What the function raised, when the tasks in work are done; others are not begun.

    >>> share_out(lambda task: 2 * task, [1, 2, 3], cores=2)
    [2, 4, 6]
    """
    tasks = list(tasks)
    workers = min(cores, len(tasks), MOST)
    if workers < 2:
        return [function(task) for task in tasks]
    each = cores // workers
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def run(task: Task) -> Result:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return function(task)

    pool = ThreadPoolExecutor(workers, "share-out", initializer=take_cores, initargs=(each,))
    try:
        return list(pool.map(run, tasks))
    finally:
        pool.shutdown(cancel_futures=True)


def take_cores(count: int) -> None:
    """Sets how many threads torch uses for operations of the calling thread, a new one.

    `torch.set_num_threads` does two things: it sets the number for the calling thread, and the one
    that threads get which use torch for the first time. The second is taken back, by a thread that
    ends with it, so that nothing but the calling thread is changed.
    """
    with _settling:
        usual = torch.get_num_threads()  # first of all: it is here that a thread takes it over
        torch.set_num_threads(count)
        restoring = threading.Thread(target=torch.set_num_threads, args=(usual,))
        restoring.start()
        restoring.join()
