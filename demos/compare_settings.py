"""Two detectors side by side: python demos/compare_settings.py [DETECTOR] [DETECTOR].

Without names, the embedded model with its own threshold and with a lower one.
"""

import sys
from pathlib import Path

from grounding_sdk import Grounder, viz

HERE = Path(__file__).parent
if len(sys.argv) > 2:
    sides = {name: Grounder(detector=name) for name in sys.argv[1:3]}
else:
    sides = {"its own threshold": Grounder(), "threshold 0.1": Grounder(threshold=0.1)}

left, right = (ground(HERE / "images" / "coffee.jpg", "cup . spoon") for ground in sides.values())
picture = viz.compare(left, right, titles=tuple(sides))
print("written to", viz.save_picture(picture, "out/compare_settings.jpg"))
