"""Frames of videos, through OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from grounding_sdk.errors import ImageError

SUFFIXES = frozenset(".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .flv .3gp".split())


def frames(path: str, every: int = 1) -> Iterator[tuple[int, Callable[[], np.ndarray]]]:
    """Yields the number of every n-th frame, from 0, and what decodes it.

    It must be called before the next frame is asked for; frames that nobody looks at cost little.

    Raises:
        ImageError: If no frame can be read.
    """
    with _opened(path) as capture:
        number = -1
        while capture.grab():
            number += 1
            if number % every == 0:
                yield number, lambda: _pixels(capture, path)
        if number < 0:
            raise ImageError(f"no frame can be read from the video {path}")


def frame(path: str, number: int) -> np.ndarray:
    """Returns one frame: RGB uint8 (H, W, 3). All before it are passed over, which is exact.

    Raises:
        ImageError: If there is no such frame.
    """
    for found, pixels in frames(path):
        if found == number:
            return pixels()
    raise ImageError(f"the video {path} has no frame {number}")


def frame_count(path: str, every: int = 1) -> int | None:
    """Returns how many frames there are to take, as the file says; None if it does not."""
    try:
        with _opened(path) as capture:
            total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    except ImageError:
        return 1  # an item that fails
    return -(-total // every) if total > 0 else None


@contextmanager
def _opened(path: str) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(path)
    try:
        if not capture.isOpened():
            raise ImageError(f"OpenCV cannot read {path} as a video: convert it, or check the path")
        yield capture
    finally:
        capture.release()


def _pixels(capture: cv2.VideoCapture, path: str) -> np.ndarray:
    good, pixels = capture.retrieve()
    if not good:
        raise ImageError(f"a frame of {path} cannot be decoded")
    return np.ascontiguousarray(pixels[:, :, ::-1])
