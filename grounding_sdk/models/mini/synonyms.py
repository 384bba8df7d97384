"""Other words for the training names, so that the detector learns meanings and not spellings."""

from __future__ import annotations

SYNONYMS = {
    "person": ("man", "woman", "human", "people", "boy", "girl", "pedestrian"),
    "bicycle": ("bike", "cycle"),
    "car": ("automobile", "sedan", "vehicle"),
    "motorcycle": ("motorbike", "motor scooter"),
    "airplane": ("plane", "aeroplane", "aircraft"),
    "bus": ("coach", "passenger bus"),
    "train": ("railway train", "locomotive"),
    "truck": ("lorry", "pickup truck", "van"),
    "boat": ("ship", "sailboat"),
    "traffic light": ("stoplight", "traffic signal"),
    "fire hydrant": ("hydrant",),
    "bench": ("park bench",),
    "cat": ("kitten", "house cat"),
    "dog": ("puppy", "hound"),
    "horse": ("pony",),
    "sheep": ("lamb",),
    "cow": ("cattle", "bull"),
    "backpack": ("rucksack", "knapsack"),
    "handbag": ("purse", "bag"),
    "tie": ("necktie", "bow tie"),
    "suitcase": ("luggage", "travel case"),
    "frisbee": ("flying disc",),
    "sports ball": ("ball", "soccer ball", "tennis ball"),
    "skis": ("ski",),
    "tennis racket": ("racket",),
    "wine glass": ("goblet",),
    "cup": ("mug", "cup of coffee"),
    "donut": ("doughnut",),
    "hot dog": ("sausage in a bun",),
    "couch": ("sofa",),
    "potted plant": ("plant", "houseplant"),
    "dining table": ("table", "kitchen table"),
    "toilet": ("toilet seat",),
    "tv": ("television", "tv monitor", "screen", "monitor"),
    "laptop": ("notebook computer", "laptop computer"),
    "mouse": ("computer mouse",),
    "remote": ("remote control",),
    "cell phone": ("mobile phone", "smartphone", "phone"),
    "refrigerator": ("fridge",),
    "sink": ("wash basin",),
    "oven": ("stove", "cooker"),
    "clock": ("wall clock",),
    "teddy bear": ("stuffed toy", "stuffed animal", "teddy"),
    "hair drier": ("hair dryer",),
    "sunglasses": ("shades",),
    "shoes": ("shoe", "footwear"),
    "pants": ("trousers",),
    "jacket": ("coat",),
    "t-shirt": ("tee", "shirt"),
    "hat": ("cap",),
}


def variants(name: str) -> tuple[str, ...]:
    """The name, its plural, and its synonyms.

    >>> variants("couch")
    ('couch', 'couches', 'sofa')
    """
    return (name, plural(name), *SYNONYMS.get(name, ()))


def plural(name: str) -> str:
    """A plural good enough to train on.

    >>> [plural(word) for word in ("car", "bus", "city", "person")]
    ['cars', 'buses', 'cities', 'people']
    """
    if name in ("person", "sheep", "skis"):
        return {"person": "people"}.get(name, name)
    if name.endswith(("s", "sh", "ch", "x")):
        return name + "es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"
