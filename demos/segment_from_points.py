"""Encodes a picture once and asks for masks by point and by box."""

from pathlib import Path

import numpy as np

from grounding_sdk import Image, load_segmenter, viz

HERE = Path(__file__).parent
image = Image.load(HERE / "images" / "coffee.jpg")
segmenter = load_segmenter("mini")
embedding = segmenter.encode([image])[0]

prompts = {
    "point": segmenter.decode(embedding, points=np.array([[[290, 150]]])),
    "box": segmenter.decode(embedding, np.array([[175, 15, 410, 290]])),
}
for name, predicted in prompts.items():
    print(f"{name}: {predicted.masks.area[0]} pixels, score {predicted.scores[0, 0]:.2f}")
    picture = np.where(predicted.masks[0][..., None], image.pixels, image.pixels // 4)
    viz.save_picture(picture, f"out/segment_from_{name}.jpg")
