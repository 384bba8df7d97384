"""What the embedded model gets wrong on the demo pictures: python demos/where_mini_fails.py."""

from pathlib import Path

from grounding_sdk import Grounder, viz

HERE = Path(__file__).parent
ASKED = [
    ("astronaut.jpg", "person"),  # one
    ("coffee.jpg", "cup . saucer . spoon"),  # one of each
    ("cat.jpg", "cat"),
    ("coffee.jpg", "green cup"),  # it is brown
    ("rocket.jpg", "airplane . boat . person"),  # none of them
    ("rocket.jpg", "rocket . tower"),
]

ground = Grounder()
results = [ground(HERE / "images" / name, query) for name, query in ASKED]
sheet = viz.contact_sheet(results, columns=3, thumb=320)
print("written to", viz.save_picture(sheet, "out/where_mini_fails.jpg"))
