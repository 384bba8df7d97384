"""Finds what you name in a picture: python demos/ground_a_photo.py [PICTURE] [PROMPT]."""

import sys
from pathlib import Path

from grounding_sdk import Grounder

HERE = Path(__file__).parent
picture = sys.argv[1] if len(sys.argv) > 1 else HERE / "images" / "coffee.jpg"
prompt = sys.argv[2] if len(sys.argv) > 2 else "cup . spoon"

result = Grounder()(picture, prompt)

found = result.detections
for label, score, box in zip(found["class_name"], found.confidence, found.xyxy, strict=True):
    print(f"{label} {score:.2f} at {box.round().astype(int).tolist()}")
print("written to", result.save("out/ground_a_photo.jpg"))
