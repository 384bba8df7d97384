"""Adds a stage: keeps what lies in the right half of the picture."""

from pathlib import Path

from grounding_sdk import Detect, Merge, Pipeline, Segment

HERE = Path(__file__).parent


def right_half(grounding):
    left, _, right, _ = grounding.detections.xyxy.T
    return grounding.filter(where=(left + right) / 2 > grounding.image.width / 2)


pipeline = Pipeline([Detect("mini"), Merge(), right_half, Segment("mini")])
result = pipeline(HERE / "images" / "astronaut.jpg", "person . helmet . flag . rocket")

for step in result.trace:
    print(f"{step.stage:>10}: {step.before} -> {step.after} in {step.seconds:.2f} s")
print("written to", result.save("out/stage_of_your_own.jpg"))
