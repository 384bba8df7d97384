"""Measuring a detector and a segmenter against the path that people run today."""
