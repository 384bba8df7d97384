"""Tasks at the same time: the same results, and nothing left changed."""

import threading

import numpy as np
import pytest
import torch
from tiny_segmenters import boxes_in, official_sam, picture, points_in
from torch_threads import torch_threads

from grounding_sdk.models import workers
from grounding_sdk.models.segmenters.folded_decoder import FoldedDecoder
from grounding_sdk.models.segmenters.segment_anything import SegmentAnythingSegmenter
from grounding_sdk.models.workers import share_out


@pytest.fixture(autouse=True)
def three_threads():
    with torch_threads(3):
        yield


def threads_of_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("cores", [1, 2, 3, 100])
def test_results_come_in_the_order_of_tasks(cores):
    waiting = [threading.Event() for _ in range(4)]

    def wait_for_the_next(task):  # where there is one at work
        if cores >= len(waiting) and task + 1 < len(waiting):
            assert waiting[task + 1].wait(10)
        waiting[task].set()
        return task * task

    assert share_out(wait_for_the_next, range(4), cores) == [0, 1, 4, 9]


@pytest.mark.parametrize(
    ("tasks", "cores", "each"), [(3, 3, 1), (2, 3, 1), (2, 4, 2), (9, 2, 1), (1, 2, 3), (3, 1, 3)]
)
def test_cores_are_shared_out_and_nobody_else_notices(tasks, cores, each):
    used = share_out(lambda task: torch.get_num_threads(), range(tasks), cores)
    assert used == [each] * tasks  # the caller's own three where it does the work
    assert torch.get_num_threads() == 3
    assert threads_of_a_new_thread() == 3


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_whether_there_are_gradients_is_as_for_the_caller(mode, cores):
    weight = torch.ones(3, requires_grad=True)

    def product(task):
        return (weight * task).requires_grad, torch.ones(1).is_inference()

    with mode():
        expected = product(0)
        assert share_out(product, range(2), cores) == [expected] * 2


def test_a_number_of_threads_set_by_a_thread_for_itself_alone_stays():
    threads = {}

    def caller():
        torch.get_num_threads()  # torch takes the number of all at a thread's first use
        torch.set_num_threads(2)
        restore = threading.Thread(target=torch.set_num_threads, args=(3,))
        restore.start()
        restore.join()
        share_out(lambda task: task, range(2), 2)
        threads["caller"] = torch.get_num_threads()

    thread = threading.Thread(target=caller)
    thread.start()
    thread.join()
    assert threads == {"caller": 2}
    assert torch.get_num_threads() == threads_of_a_new_thread() == 3


@pytest.mark.parametrize("cores", [1, 2])
def test_what_a_task_raises_is_raised_and_others_are_not_begun(cores):
    begun = []

    def fail(task):
        begun.append(task)
        raise ValueError(f"task {task}")

    before = threading.active_count()
    with pytest.raises(ValueError, match="task 0"):
        share_out(fail, range(1000), cores)
    assert len(begun) < 1000
    assert threading.active_count() == before


def test_however_many_cores_there_are_a_few_threads_do():
    together = threading.Barrier(workers.MOST)
    used = set()

    def meet(task):
        used.add(threading.get_ident())
        together.wait(10)

    share_out(meet, range(3 * workers.MOST), 64)
    assert len(used) == workers.MOST


# ---- in a segmenter


@pytest.fixture(scope="module")
def segmenter():
    return SegmentAnythingSegmenter(official_sam())


def prompts_of(image):
    """Of two kinds in turn: a prompt with one point, one with two."""
    points = points_in(image, 7, 2)
    labels = np.where(np.arange(7)[:, None] % 2, [1, 0], [1, -1])
    return {"boxes": boxes_in(image, 7), "points": points, "point_labels": labels}


@pytest.mark.parametrize("multimask", [False, True])
def test_results_do_not_depend_on_the_number_of_threads(segmenter, multimask):
    image = picture(40, 60)
    (embedding,) = segmenter.encode([image])
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(segmenter.decode(embedding, **prompts_of(image), multimask=multimask))
    for other in found[1:]:
        np.testing.assert_allclose(other.logits, found[0].logits, atol=1e-5)
        np.testing.assert_allclose(other.scores, found[0].scores, atol=1e-5)
        wrong = other.masks.to_dense() != found[0].masks.to_dense()
        assert wrong.mean() < 1e-3


def test_prompts_decoded_together_are_those_decoded_alone(segmenter):
    image = picture(40, 60)
    (embedding,) = segmenter.encode([image])
    together = segmenter.decode(embedding, **prompts_of(image))
    for row in range(7):
        own = {name: value[row : row + 1] for name, value in prompts_of(image).items()}
        alone = segmenter.decode(embedding, **own)
        np.testing.assert_allclose(together.logits[row], alone.logits[0], atol=1e-5)
        np.testing.assert_array_equal(together.masks[row], together.masks.to_dense()[row])
        assert (together.masks[row] != alone.masks[0]).mean() < 1e-3


def test_errors_while_decoding_reach_the_caller(segmenter, monkeypatch):
    image = picture(40, 60)
    (embedding,) = segmenter.encode([image])
    calls = []

    def decode(*arguments, **settings):
        calls.append(1)
        raise MemoryError("no room")

    monkeypatch.setattr(FoldedDecoder, "decode", decode)
    with pytest.raises(MemoryError, match="no room"):
        segmenter.decode(embedding, boxes_in(image, 100))
    assert len(calls) < 50
    monkeypatch.undo()
    assert len(segmenter.decode(embedding, boxes_in(image, 5)).masks) == 5


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_the_caller_may_be_in_any_mode(segmenter, mode):
    image = picture(40, 60)
    (embedding,) = segmenter.encode([image])
    expected = segmenter.decode(embedding, boxes_in(image, 9))
    with mode():
        (embedding,) = segmenter.encode([image])
        found = segmenter.decode(embedding, boxes_in(image, 9))
    np.testing.assert_array_equal(found.logits, expected.logits)


def test_nothing_is_kept_for_gradients():
    segmenter = SegmentAnythingSegmenter(official_sam().requires_grad_(True))
    image = picture(40, 60)
    (embedding,) = segmenter.encode([image])
    assert len(segmenter.decode(embedding, boxes_in(image, 9)).masks) == 9
