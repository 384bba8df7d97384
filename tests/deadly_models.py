"""Detectors that kill their process; in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from grounding_sdk.models.fakes import FakeDetector


@dataclass
class Deadly(FakeDetector):
    """Kills its process at the sight of a picture that is all of one grey."""

    grey: int = -1

    def detect(self, images, queries):
        if any((image.pixels == self.grey).all() for image in images):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(images, queries)


@dataclass
class Broken(FakeDetector):
    def detect(self, images, queries):
        os.kill(os.getpid(), signal.SIGKILL)
