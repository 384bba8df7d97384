from __future__ import annotations

import itertools
import logging
import signal
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_threads import torch_threads

from grounding_sdk import (
    ConfigError,
    Detect,
    FakeDetector,
    FakeSegmenter,
    Grounding,
    Image,
    ImageError,
    Merge,
    Parse,
    Pipeline,
    PipelineError,
    QueryError,
    Refine,
    Segment,
)
from grounding_sdk.stages.running import Threads


def picture(value):
    return np.full((32, 48, 3), value, np.uint8)


def fake_pipeline(*more):
    return Pipeline([Detect(FakeDetector()), Segment(FakeSegmenter()), *more])


def test_one_image_comes_back_with_boxes_masks_and_a_trace():
    result = fake_pipeline()(picture(1), "dog . cat")
    assert len(result.detections.mask) == len(result)
    assert [(s.stage, s.after) for s in result.trace] == [
        ("detect", len(result)),
        ("segment", len(result)),
    ]
    assert result.trace[0].model == FakeDetector().name
    assert all(step.seconds >= 0 for step in result.trace)


def test_many_come_back_in_order_and_as_they_would_alone():
    pipeline = fake_pipeline()
    items = [Grounding.ask(picture(i), q) for i, q in enumerate(["dog", "cat . car", "tree"])]
    for together, item in zip(pipeline.run(items), items, strict=True):
        alone = pipeline.run([item])[0]
        assert together.query is item.query
        assert together.detections == alone.detections


def test_a_plain_function_is_a_stage():
    def only_the_best(item):
        return item.filter(where=np.arange(min(1, len(item))))

    result = fake_pipeline(only_the_best)(picture(1), "dog . cat")
    assert len(result) <= 1
    assert result.trace[-1].stage == "only_the_best"


def test_a_pipeline_is_checked_when_it_is_built():
    with pytest.raises(ConfigError, match="stage 'segment' needs xyxy"):
        Pipeline([Segment(FakeSegmenter())])
    with pytest.raises(ConfigError, match="stage 'refine' needs mask"):
        Pipeline([Detect(FakeDetector()), Refine()])
    with pytest.raises(ConfigError, match="got int"):
        Pipeline([3])
    with pytest.raises(ConfigError, match="call it first"):
        Pipeline([Merge])
    Pipeline([Segment(FakeSegmenter())], given=("xyxy",))


def test_a_failure_names_the_stage_and_the_item():
    def fussy(item):
        if item.image.pixels[0, 0, 0] == 1:
            raise ZeroDivisionError("too dark")
        return item

    items = [Grounding.ask(picture(i), "dog") for i in range(3)]
    with pytest.raises(PipelineError, match=r"stage 'fussy' failed on item 1: too dark") as caught:
        fake_pipeline(fussy).run(items)
    assert (caught.value.stage, caught.value.index) == ("fussy", 1)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_stage_that_returns_nothing_is_told_what_it_forgot():
    with pytest.raises(PipelineError, match="does the function end with 'return'"):
        fake_pipeline(lambda item: None)(picture(1), "dog")


def test_bad_input_is_an_error_of_its_own_not_of_a_stage():
    with pytest.raises(ImageError):
        fake_pipeline()("nowhere.jpg", "dog")
    with pytest.raises(QueryError):
        fake_pipeline()(picture(1), "")


def streamed(images, **options):
    return list(fake_pipeline().stream(images, "dog . cat", **options))


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_a_stream_keeps_the_order_whatever_the_batch(batch_size):
    results = streamed((picture(i) for i in range(5)), batch_size=batch_size, read_ahead=2)
    assert [int(r.image.pixels[0, 0, 0]) for r in results] == list(range(5))


def endless(taken=None):
    """Different pictures without end."""
    for i in itertools.count():
        if taken is not None:
            taken.append(i)
        yield picture(i % 200)


def background_threads():
    return [t for t in threading.enumerate() if t.name.startswith("grounding-")]


def test_a_stream_is_lazy():
    taken = []
    stream = fake_pipeline().stream(endless(taken), "dog", batch_size=1, read_ahead=3)
    assert not taken
    next(stream)
    assert len(taken) <= 5
    stream.close()
    assert not background_threads()


@pytest.mark.parametrize("batch_size, read_ahead", [(1, 1), (2, 8), (5, 5)])
def test_an_array_may_be_filled_again_for_each_picture(batch_size, read_ahead):
    def frames():
        frame = np.zeros((8, 8, 3), np.uint8)
        for i in range(9):
            frame[:] = i
            yield frame

    results = streamed(frames(), batch_size=batch_size, read_ahead=read_ahead)
    assert [int(r.image.pixels[0, 0, 0]) for r in results] == list(range(9))


class SameSizeDetector(FakeDetector):
    """Notes the sizes of the images that it sees together."""

    batches_equal_sizes = True

    def __init__(self):
        super().__init__()
        self.batches = []

    def detect(self, images, queries):
        self.batches.append([image.size for image in images])
        return super().detect(images, queries)


@pytest.mark.parametrize("detector", [FakeDetector, SameSizeDetector])
@pytest.mark.parametrize("batch_size, read_ahead", [(1, 1), (2, 8), (3, 4), (8, 2), (30, 30)])
def test_results_depend_neither_on_batches_nor_on_sizes(detector, batch_size, read_ahead):
    sizes = [(20, 30), (30, 20), (20, 30), (8, 8)] * 4
    images = [np.full((*size, 3), i, np.uint8) for i, size in enumerate(sizes)]
    pipeline = Pipeline([Detect(detector()), Segment(FakeSegmenter())])
    alone = [pipeline(image, "dog . cat") for image in images]
    together = pipeline.stream(images, "dog . cat", batch_size=batch_size, read_ahead=read_ahead)
    for one, other in zip(alone, together, strict=True):
        assert one.image == other.image
        assert one.detections == other.detections


def test_images_of_one_size_go_together_where_a_model_asks_for_it():
    detector = SameSizeDetector()
    tall, wide = np.zeros((30, 20, 3), np.uint8), np.zeros((20, 30, 3), np.uint8)
    images = [tall, wide, wide, tall, "missing.jpg", wide, tall, tall, wide]
    failed = []
    stream = Pipeline([Detect(detector)]).stream(
        images, "dog", batch_size=4, on_error=failed.append
    )
    assert [result.image.size for result in stream] == [
        image.shape[:2] for image in images if not isinstance(image, str)
    ]
    assert detector.batches == [[(20, 30)] * 3, [(30, 20)] * 4, [(20, 30)]]
    assert [error.index for error in failed] == [4]


def test_reading_detecting_segmenting_and_writing_go_on_at_the_same_time():
    detected = [threading.Event() for _ in range(8)]
    segmented = [threading.Event() for _ in range(8)]

    class Detector(FakeDetector):
        def detect(self, images, queries):
            detected[images[0].pixels[0, 0, 0]].set()
            return super().detect(images, queries)

    class Segmenter(FakeSegmenter):
        def encode(self, images):
            index = images[0].pixels[0, 0, 0]
            assert index == 7 or detected[index + 1].wait(10), "the detector is ahead"
            segmented[index].set()
            return super().encode(images)

    pipeline = Pipeline([Detect(Detector()), Segment(Segmenter(), cache=None)])
    images = (picture(i) for i in range(8))
    for i, result in enumerate(pipeline.stream(images, "dog", batch_size=1, read_ahead=2)):
        assert len(result) > 0, "it did not fail"
        assert i == 7 or segmented[i + 1].wait(10), "the models do not wait for the writer"


def test_models_on_the_cpu_do_not_compute_at_the_same_time():
    busy = threading.Lock()

    def alone(method):
        def call(self, *args):
            assert busy.acquire(blocking=False)
            try:
                return method(self, *args)
            finally:
                busy.release()

        return call

    class Detector(FakeDetector):
        device = "cpu"
        detect = alone(FakeDetector.detect)

    class Segmenter(FakeSegmenter):
        device = "cpu"
        encode = alone(FakeSegmenter.encode)

    pipeline = Pipeline([Detect(Detector()), Segment(Segmenter(), cache=None)])
    images = (picture(i) for i in range(8))
    assert len(list(pipeline.stream(images, "dog", batch_size=1))) == 8


@pytest.fixture
def two_threads():
    with torch_threads(2):
        yield


def test_models_that_gain_from_it_share_the_cores_by_batches(two_threads):
    together, busy = threading.Barrier(2), threading.Lock()
    threads = []

    class Detector(FakeDetector):
        device = "cpu"
        batches_at_once = True

        def detect(self, images, queries):
            together.wait(10)
            threads.append(torch.get_num_threads())
            return super().detect(images, queries)

    def alone(item):
        assert busy.acquire(blocking=False)
        busy.release()
        return item

    pipeline = Pipeline([alone, Detect(Detector()), Merge(), alone])
    images = [Image(picture(i)) for i in range(8)]
    results = list(pipeline.stream(images, "dog", batch_size=2, read_ahead=4))
    assert [result.image for result in results] == images
    assert threads == [1] * 4, "each batch has its part of the cores"
    assert torch.get_num_threads() == 2
    assert not background_threads()


def test_a_stream_that_is_left_goes_no_further_than_the_stage_it_is_in(two_threads):
    detecting, segmented = threading.Event(), threading.Event()

    class Detector(FakeDetector):
        device = "cpu"
        batches_at_once = True

        def detect(self, images, queries):
            detecting.set()
            assert stopped.wait(10)
            return super().detect(images, queries)

    class Segmenter(FakeSegmenter):
        device = "cpu"
        batches_at_once = True

        def encode(self, images):
            segmented.set()
            return super().encode(images)

    threads = Threads([Detect(Detector()), Segment(Segmenter(), cache=None)], batches=2)
    stopped = threads._stopped
    threads.begin([(0, picture(0))], "dog", 1)
    assert detecting.wait(10)
    threads.stop()
    assert not segmented.is_set()
    assert not background_threads()


def test_no_stage_is_called_twice_at_a_time():
    busy = threading.Lock()

    def alone(item):
        assert busy.acquire(blocking=False)
        try:
            return item
        finally:
            busy.release()

    pipeline = fake_pipeline(alone)
    assert len(list(pipeline.stream((picture(i) for i in range(20)), "dog", batch_size=1))) == 20


@pytest.mark.parametrize("detector", [FakeDetector, SameSizeDetector])
def test_memory_is_flat_however_long_the_stream(detector):
    references = []

    def images():
        for pixels in endless():
            image = Image(pixels[:, : 8 + len(references) % 3])
            references.append(weakref.ref(image))
            yield image

    def alive():
        return sum(reference() is not None for reference in references)

    stream = Pipeline([Detect(detector()), Segment(FakeSegmenter())]).stream(
        images(), "dog", batch_size=2, read_ahead=6
    )
    in_memory = [alive() for _ in itertools.islice(stream, 60)]
    assert max(in_memory) <= (8 if detector is FakeDetector else 12) + 2  # the loops' variables
    stream.close()
    del stream
    assert not background_threads()


def test_a_stream_that_ends_fails_or_is_left_leaves_no_thread():
    def fails(item):
        raise ZeroDivisionError("too dark")

    def broken():
        yield picture(0)
        raise OSError("the source is gone")

    pipeline = fake_pipeline()
    assert len(list(pipeline.stream([picture(0)] * 9, "dog"))) == 9
    assert not background_threads()
    with pytest.raises(PipelineError, match="too dark"):
        list(fake_pipeline(fails).stream(endless(), "dog", on_error="raise"))
    assert not background_threads()
    with pytest.raises(OSError, match="the source is gone"):
        list(pipeline.stream(broken(), "dog"))
    assert not background_threads()

    def ctrl_c():
        for _ in pipeline.stream(endless(), "dog"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ctrl_c()
    assert not background_threads()


def test_ctrl_c_ends_a_stream_that_waits_for_a_stage():
    calls = itertools.count()

    def interrupted(item):
        if next(calls) == 5:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return item

    with pytest.raises(KeyboardInterrupt):
        list(fake_pipeline(interrupted).stream(endless(), "dog"))
    assert not background_threads()


def test_one_bad_file_never_stops_a_stream(tmp_path, caplog):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    images = [picture(0), bad, picture(2), str(tmp_path / "missing.jpg"), picture(4)]

    with caplog.at_level(logging.WARNING):
        results = streamed(images)
    assert [int(r.image.pixels[0, 0, 0]) for r in results] == [0, 2, 4]
    assert "bad.jpg" in caplog.text
    assert "missing.jpg" in caplog.text

    failures = []
    assert len(streamed(images, on_error=failures.append)) == 3
    assert [(f.stage, f.index, Path(f.source).name) for f in failures] == [
        ("load", 1, "bad.jpg"),
        ("load", 3, "missing.jpg"),
    ]

    stream = fake_pipeline().stream(images, "dog", on_error="raise")
    assert next(stream).image.pixels[0, 0, 0] == 0  # what came before it is not lost
    with pytest.raises(PipelineError, match=r"bad\.jpg"):
        next(stream)


def test_groundings_in_a_stream_carry_their_own_query():
    items = [Grounding.ask(picture(0), "dog"), Grounding.ask(picture(1), "cat")]
    results = list(fake_pipeline().stream(items))
    assert [r.query.texts for r in results] == [("dog",), ("cat",)]
    with pytest.raises(PipelineError, match="no query"):
        list(fake_pipeline().stream([picture(0)], on_error="raise"))


def test_config_round_trips_through_yaml(tmp_path):
    stages = [
        Parse("whole"),
        Detect("fake", threshold=0.3),
        Merge("soft-nms", overlap=0.4),
        Segment("fake"),
        Refine(fit_boxes=True),
    ]
    pipeline = Pipeline(stages)
    path = tmp_path / "pipeline.yaml"
    pipeline.save(path)
    again = Pipeline.load(path)
    assert again.to_config() == pipeline.to_config()
    assert again(picture(3), "dog").detections == pipeline(picture(3), "dog").detections
    assert pipeline.to_config()["stages"][1] == {
        "stage": "detect",
        "detector": "fake",
        "threshold": 0.3,
    }


def test_stages_of_the_users_own_are_given_again_by_name():
    def mine(item):
        return item

    config = fake_pipeline(mine).to_config()
    with pytest.raises(ConfigError, match="no stage is called 'mine'"):
        Pipeline.from_config(config)
    assert Pipeline.from_config(config, stages={"mine": mine}).to_config() == config


@pytest.mark.parametrize(
    "config, message",
    [
        (None, "list under 'stages'"),
        ({"stages": "detect"}, "list under 'stages'"),
        ({"stages": ["detect"]}, "key 'stage'"),
        ({"stages": [{"stage": "os.system"}]}, "no stage is called"),
        ({"stages": [{"stage": "merge", "iou": 0.5}]}, "no option 'iou'; it has method, overlap"),
        ({"stages": [{"stage": "detect"}]}, "stage 'detect'"),
    ],
)
def test_a_config_that_describes_no_pipeline_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        Pipeline.from_config(config)


def test_yaml_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text("stages: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigError, match="no YAML"):
        Pipeline.load(path)
