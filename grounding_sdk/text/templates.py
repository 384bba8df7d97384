"""Sentences that phrases are put into, for `Query.templates`."""

from __future__ import annotations

# The seven that OpenAI found best for CLIP on ImageNet (notebook "Prompt Engineering for ImageNet"
# of openai/CLIP), and that OWL-ViT and OWLv2 were evaluated with: without full stops, since that
# evaluation takes punctuation out. "itap" is "I took a picture".
CLIP_7 = (
    "itap of a {}",
    "a bad photo of the {}",
    "a origami {}",
    "a photo of the large {}",
    "a {} in a video game",
    "art of the {}",
    "a photo of the small {}",
)
