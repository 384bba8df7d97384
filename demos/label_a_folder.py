"""Labels a folder: python demos/label_a_folder.py [FOLDER] [PROMPT]."""

import json
import sys
from pathlib import Path

from grounding_sdk import Grounder, viz
from grounding_sdk.formats import CocoWriter

HERE = Path(__file__).parent
folder = sys.argv[1] if len(sys.argv) > 1 else HERE / "images"
prompt = sys.argv[2] if len(sys.argv) > 2 else "person . cat . cup . spoon . rocket"

coco, results = CocoWriter(), []
for result in Grounder().many(folder, prompt):
    print(result)
    coco.add(result)
    results.append(result)

out = Path("out")
viz.save_picture(viz.contact_sheet(results), out / "label_a_folder.jpg")
(out / "label_a_folder.json").write_text(json.dumps(coco.to_dict()))
print("written to out/label_a_folder.jpg and .json")
