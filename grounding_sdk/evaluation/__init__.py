"""Measures how good answers are, against annotations. A side room: it sees nouns and words."""
