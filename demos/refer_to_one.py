"""Asks for one of several cats by place and size, and shows why it was chosen."""

from pathlib import Path

import numpy as np
import PIL.Image

from grounding_sdk import Grounder, viz

HERE = Path(__file__).parent

cat = PIL.Image.open(HERE / "images" / "cat.jpg")
scene = PIL.Image.new("RGB", (1080, 420), (200, 200, 195))
left = 20
for size, flipped in ((0.5, False), (1.0, False), (0.7, True)):
    one = cat.resize((round(cat.width * size), round(cat.height * size)))
    one = one.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT) if flipped else one
    scene.paste(one, (left, 400 - one.height))
    left += one.width + 20

ground = Grounder()
for name, text in {
    "second": "the second cat from the left",
    "largest": "the two largest cats",
    "not_largest": "cats, not the largest one",
}.items():
    result = ground(np.asarray(scene), text)
    print(result.explain(), end="\n\n")
    viz.save_picture(viz.explain(result), f"out/refer_to_{name}.jpg")
