from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grounding_sdk.text.kinds import EXACT, SAME, STAND_IN, best_names, same_kind
from grounding_sdk.text.kinds_table import STAND_INS, TREE

COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, "
    "fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, "
    "bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, "
    "sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, "
    "bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, "
    "carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, "
    "tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, "
    "refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
).split(", ")
VOC = (
    "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, "
    "motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
).split(", ")

# What people say, and which of the 80 names of COCO it means.
SAID = {
    "person": "man, woman, boy, girl, guy, lady, dude, kid, child, baby, toddler, teenager, "
    "people, men, women, children, rider, cook, chef, player, batter, catcher, pitcher, umpire, "
    "referee, skier, surfer, snowboarder, skateboarder, cyclist, waiter, waitress, officer, "
    "policeman, fireman, bride, groom, passenger, pedestrian, gentleman, mom, dad, grandma, "
    "businessman, spectator, crowd, tennis player, old man, little girl, group of people, "
    "baseball player, police officer, anchorwoman, spokesman, seated person, somebody, the "
    "two boys",
    "bicycle": "bicycles, mountain-bike, tandem, tricycle",
    "car": "cars, automobile, taxi, cab, suv, jeep, sedan, minivan, limo, police car, sports car",
    "motorcycle": "motorbike, scooter, moped, harley, vespa, dirt bike, motor bike",
    "airplane": "plane, aeroplane, airliner, jet, airplanes, biplane, aircraft, fighter jet",
    "bus": "buses, shuttle, double decker bus, school bus, double-decker",
    "train": "locomotive, tram, subway, trains, engine, freight train",
    "truck": "lorry, pickup, trucks, firetruck, fire engine, pickup truck, semi truck",
    "boat": "ship, sailboat, canoe, kayak, yacht, ferry, boats, fishing boat, cruise ship",
    "traffic light": "stoplight, traffic signal, stop light, traffic lights, light",
    "fire hydrant": "hydrant, hydrants",
    "stop sign": "sign, stop signs",
    "parking meter": "meter, parking meters",
    "bench": "benches, park bench",
    "bird": "seagull, duck, pigeon, goose, parrot, owl, swan, penguin, birds, sea gull",
    "cat": "kitten, kitty, tabby, cats, feline",
    "dog": "puppy, hound, poodle, dogs, pug, golden retriever, toy dog",
    "horse": "pony, foal, mare, horses, colt, stallion",
    "sheep": "lamb, goat, ewe, ram, goats, black goat, mountain goat",
    "cow": "calf, bull, cows, heifer, steer, cattle, baby cow",
    "bear": "bears, polar bear, grizzly bear, bear cub",
    "elephant": "elephants, baby elephant",
    "backpack": "rucksack, knapsack, book bag",
    "umbrella": "umbrellas, parasol, beach umbrella",
    "handbag": "purse, satchel, shoulder bag, hand bag",
    "suitcase": "luggage, suitcases, baggage, duffel bag",
    "tie": "necktie, ties, bow tie",
    "frisbee": "disc, frisbees",
    "skis": "ski, pair of skis",
    "snowboard": "snowboards, snow board",
    "sports ball": "ball, baseball, football, tennis ball, soccer ball",
    "kite": "kites",
    "baseball bat": "bat, bats",
    "baseball glove": "mitt, glove",
    "skateboard": "longboard, skate board",
    "surfboard": "surfboards, surf board, boogie board",
    "tennis racket": "racket, racquet, tennis racquet",
    "bottle": "bottles, water bottle, bottle of wine, beer bottle",
    "wine glass": "wine glasses, champagne glass",
    "cup": "mug, teacup, cups, coffee cup, cup of coffee, pepsi cup, paper cup",
    "fork": "forks",
    "knife": "knives, butter knife",
    "spoon": "ladle, spoons, teaspoon",
    "bowl": "bowls, dish, soup bowl, bowl of soup",
    "banana": "bananas, bunch of bananas, upper bunch of bananas",
    "apple": "apples, green apple",
    "orange": "tangerine, oranges",
    "sandwich": "burger, sandwiches, sub, hamburger, grilled sandwich, half of a sandwich",
    "hot dog": "hotdog, hot dogs, hot-dog, chili dog",
    "pizza": "pizzas, slice of pizza, pizza slice",
    "donut": "doughnut, donuts, doughnuts",
    "cake": "cupcake, cakes, birthday cake, piece of cake",
    "broccoli": "piece of broccoli",
    "carrot": "carrots, baby carrot",
    "chair": "armchair, chairs, recliner, office chair, rocking chair",
    "couch": "sofa, loveseat, couches, futon",
    "potted plant": "houseplant, plant, flower, flowerpot, pot plant",
    "bed": "beds, bunk, bunk bed",
    "dining table": "table, tables, desk, kitchen table, steel table, coffee table, picnic table",
    "toilet": "toilets, urinal, toilet bowl",
    "tv": "television, monitor, screen, tvs, computer screen, computer monitor, flat screen tv",
    "laptop": "laptops, computer, macbook, laptop computer",
    "mouse": "mice, computer mouse",
    "remote": "remotes, controller, remote control, wii remote, game controller",
    "keyboard": "keyboards, computer keyboard",
    "cell phone": "cellphone, mobile, phone, smartphone, telephone, mobile phone, cell phones",
    "microwave": "microwaves, microwave oven",
    "oven": "stove, ovens, cooker, range, toaster oven",
    "sink": "basin, washbasin, sinks, bathroom sink",
    "refrigerator": "fridge, fridges, freezer, white fridge",
    "book": "books, novel, textbook, open book",
    "clock": "clocks, clock face, alarm clock, wall clock",
    "vase": "vases, flower vase, glass vase",
    "scissors": "shears, pair of scissors",
    "teddy bear": "teddy, teddies, stuffed bear, stuffed animal, teddy bears",
    "hair drier": "hairdryer, hair dryer, blow dryer",
    "toothbrush": "toothbrushes, tooth brush",
}


@pytest.mark.parametrize(
    "noun, name",
    [(noun, name) for name, nouns in SAID.items() for noun in nouns.split(", ")],
)
def test_what_people_say_means_the_name(noun, name):
    found = best_names(noun, COCO)
    assert found
    assert found[0][0] == name


@pytest.mark.parametrize("names", [COCO, VOC], ids=["coco", "voc"])
def test_a_name_means_itself_and_nothing_else(names):
    for name in names:
        assert best_names(name, names) == [(name, EXACT)]


@pytest.mark.parametrize(
    "coco, voc",
    [
        ("airplane", "aeroplane"),
        ("dining table", "diningtable"),
        ("motorcycle", "motorbike"),
        ("potted plant", "pottedplant"),
        ("couch", "sofa"),
    ],
)
def test_two_names_of_one_thing(coco, voc):
    assert best_names(coco, VOC) == [(voc, SAME)]
    assert best_names(voc, COCO) == [(coco, SAME)]


@pytest.mark.parametrize(
    "noun, names",
    [
        ("animal", "bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe"),
        ("bike", "bicycle, motorcycle"),
        ("glass", "wine glass, cup"),
        ("glasses", "wine glass, cup"),
        ("fruit", "banana, apple, orange"),
        ("furniture", "bench, chair, couch, bed, dining table, toilet"),
        ("bag", "backpack, handbag, suitcase"),
        ("vehicles", "bicycle, car, motorcycle, airplane, bus, train, truck, boat"),
        ("cutlery", "fork, knife, spoon"),
        ("board", "snowboard, skateboard, surfboard"),
        ("seat", "bench, chair, couch"),
        ("vegetable", "broccoli, carrot"),
        ("pet", "cat, dog"),
        ("one", ", ".join(COCO)),
        ("thing", ", ".join(COCO)),
    ],
)
def test_a_general_word_means_all_its_kinds(noun, names):
    assert {name for name, _ in best_names(noun, COCO)} == set(names.split(", "))


@pytest.mark.parametrize(
    "noun",
    ["jacket", "wall", "monkey", "snowman", "sky", "guitar", "pole", "gizmo", "eyeglasses", "of"],
)
def test_what_is_not_in_the_list_means_nothing(noun):
    assert best_names(noun, COCO) == []


@pytest.mark.parametrize(
    "noun, name",
    [
        ("dog", "hot dog"),
        ("hot dog", "dog"),
        ("teddy bear", "bear"),
        ("bear", "teddy bear"),
        ("toothbrush", "brush"),
        ("cup", "cupboard"),
        ("cupcake", "cup"),
        ("car", "carrot"),
        ("house plant", "house"),
        ("cat", "cattle"),
        ("man", "woman"),
        ("ottoman", "person"),
        ("doberman", "person"),
        ("record player", "person"),
        ("wine glass", "wine"),
        ("street sign", "stop sign"),
        ("pineapple", "apple"),
    ],
)
def test_words_alike_are_not_things_alike(noun, name):
    assert same_kind(noun, name) <= STAND_IN


@pytest.mark.parametrize(
    "noun, names, best",
    [
        ("goat", ["sheep", "goat"], ["goat"]),  # the stand-in gives way
        ("goat", ["sheep", "dog"], ["sheep"]),
        ("man", ["person", "man", "woman"], ["man"]),
        ("person", ["man", "dog", "person"], ["person", "man"]),  # a man is surely a person
        ("people", ["woman", "man"], ["woman", "man"]),
        ("boy", ["woman", "man", "person"], ["man"]),  # the nearest above
        ("fire truck", ["truck", "fire truck"], ["fire truck"]),
        ("truck", ["truck", "fire truck"], ["truck", "fire truck"]),
        ("truck", ["fire truck", "car"], ["fire truck"]),
        ("red gizmo", ["gizmo"], ["gizmo"]),
        ("gizmos", ["gizmo", "blue gizmo"], ["gizmo", "blue gizmo"]),
        ("dog", ["animal"], ["animal"]),
        ("dog", ["object"], ["object"]),
        ("computer screen", ["laptop", "tv"], ["tv"]),
        ("monitor", ["Monitor/TV", "Laptop"], ["Monitor/TV"]),
        ("weapon bow", ["bow_(weapon)"], ["bow_(weapon)"]),
        ("DOG", ["Dog"], ["Dog"]),
        ("dog", [], []),
        ("", ["dog"], []),
        ("dog", [""], []),
    ],
)
def test_what_is_nearest_wins(noun, names, best):
    assert [name for name, _ in best_names(noun, names)] == best


def test_every_stand_in_is_in_the_tree_by_its_first_name():
    things = {
        entry.split("=")[0]
        for line in TREE.splitlines()
        for entry in line.strip().split(", ")
        if entry
    }
    for line in STAND_INS.strip().splitlines():
        name, others = line.split(": ")
        assert {name, *others.split(", ")} <= things, line


def test_what_has_kinds_stands_alone_on_its_line():
    lines = [line for line in TREE.splitlines() if line.strip()]
    depth = [len(line) - len(line.lstrip()) for line in lines]
    for line, here, after in zip(lines, depth, depth[1:], strict=False):
        assert after <= here or (", " not in line and after == here + 4), line


@given(st.text(max_size=60), st.sampled_from(COCO))
def test_any_text_gets_a_score(noun, name):
    assert 0 <= same_kind(noun, name) <= 1


@given(st.text(string.ascii_lowercase + " -_/of", max_size=40))
def test_a_name_is_at_least_of_its_own_kind(name):
    assert same_kind(name, name) in (0.0, EXACT)
