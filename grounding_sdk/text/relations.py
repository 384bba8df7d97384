"""The words for places, ranks and relations, and the kinds of condition that they stand for."""

from __future__ import annotations


def _table(text: str) -> dict[tuple[str, ...], str]:
    """Reads lines of "kind: some words, other words" into words -> kind."""
    table = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        kind, _, phrases = line.partition(":")
        for phrase in phrases.split(","):
            table[tuple(phrase.split())] = kind
    return table


# What stands between the thing meant and an anchor: "the cup [next to] the plate".
RELATION_WORDS = _table(
    """
    above: above, over, higher than, higher up than
    below: below, lower than, lower down than
    on: on, on top of, onto, upon, atop, on the top of, riding, riding on, straddling
    under: under, underneath, beneath
    in: in, inside, inside of, within, into, of, amid, among, amongst, surrounded by
    in: in the middle of, in the center of, in the centre of
    near: near, near to, next to, beside, by, close to, close by, adjacent to, alongside, along
    near: around, at, across from, opposite, facing, to the side of, on the side of
    near: by the side of, at the side of
    far from: far from, far away from, away from
    between: between, in between, inbetween, in-between
    behind: behind, in back of, to the back of, to the rear of, farther back than
    behind: further back than
    in front of: in front of, before, ahead of, to the front of, closer than, nearer than
    holding: holding, carrying, lifting, grabbing, gripping, hugging, swinging, throwing
    holding: catching, eating, drinking, drinking from, reading, using, holding on to, holding up
    holding: holding onto, cutting, talking on, typing on, biting, squeezing, raising, waving
    held by: held by, carried by, worn by, ridden by, owned by, belonging to
    wearing: wearing, dressed in, clad in, wrapped in, has on, sporting
    with: with, having, has, have, that has, full of, filled with, covered in, covered with
    with: topped with, containing, showing, playing, playing with, pushing, pulling, kicking
    with: petting, feeding, walking, hitting, washing, cleaning, driving, towing, chasing
    with: bearing, featuring, made of, w
    touching: touching, against, leaning on, leaning against, attached to, tied to, connected to
    larger than: larger than, bigger than
    smaller than: smaller than, littler than
    taller than: taller than
    shorter than: shorter than
    left of: left of, left from, to left of, on left of, leftward of, leftwards of
    right of: right of, right from, to right of, on right of, rightward of, rightwards of
    """
)
LONGEST = max(map(len, RELATION_WORDS))  # words

# The side that a word names; "on the [far left] side of the table".
SIDES = {
    "left": "left", "leftmost": "left", "left-hand": "left", "lefthand": "left", "leftside": "left",
    "right": "right", "rightmost": "right", "right-hand": "right", "righthand": "right",
    "rightside": "right",
    "top": "top", "upper": "top", "uppermost": "top", "topmost": "top",
    "bottom": "bottom", "lower": "bottom", "lowermost": "bottom", "bottommost": "bottom",
    "middle": "middle", "center": "middle", "centre": "middle", "central": "middle",
    "front": "front", "foreground": "front", "foremost": "front",
    "back": "back", "background": "back", "rear": "back", "distance": "back", "far": "back",
    "corner": "corner", "edge": "edge", "border": "edge", "margin": "edge",
}  # fmt: skip
TWO_SIDES = {
    f"{first}{joint}{second}": (SIDES[first], side)
    for first in ("top", "bottom", "upper", "lower")
    for side in ("left", "right")
    for second in (side,)
    for joint in ("-", "")
}
# Words that add nothing to a side: "on the very left [hand side]".
SIDE_NOUNS = frozenset("side hand part half end edge corner portion area section quarter".split())
SIDE_DEGREES = frozenset("far very extreme immediate direct absolute most lower-most".split())
# The relation to an anchor that a side becomes: "on the left [of the table]".
OF_SIDE = {
    "left": "left of", "right": "right of", "top": "on", "bottom": "under", "middle": "in",
    "front": "in front of", "back": "behind", "corner": "in", "edge": "on",
}  # fmt: skip
# The kind of condition that a side is in the picture.
PLACE_OF_SIDE = {side: "center" if side == "middle" else side for side in OF_SIDE}
# What an anchor at that side makes of the thing: "the dog with the cat to its left".
OPPOSITE = {
    "left of": "right of", "right of": "left of", "on": "under", "under": "on",
    "in front of": "behind", "behind": "in front of", "in": "with",
}  # fmt: skip
IMAGE_WORDS = frozenset("image picture photo photograph frame scene shot view pic img".split())

# Before the noun or in place of it: "the [largest] dog", "the dog that is [largest]".
RANK_WORDS = {
    word: kind
    for kind, words in {
        "leftmost": "leftmost left-most farleft",
        "rightmost": "rightmost right-most farright",
        "topmost": "topmost top-most uppermost highest higher upmost",
        "bottommost": "bottommost bottom-most lowermost lowest lower-most",
        "largest": "largest biggest larger bigger hugest",
        "smallest": "smallest smaller tiniest tinier littlest littler",
        "tallest": "tallest taller longest longer",
        "shortest": "shortest shorter",
        "widest": "widest wider fattest fatter thickest thicker broadest broader",
        "narrowest": "narrowest narrower thinnest thinner slimmest skinniest",
        "nearest": "nearest closest nearer closer",
        "farthest": "farthest furthest farther further distant faraway",
        "middle": "middlemost",
    }.items()
    for word in words.split()
}
# Sizes of one thing among others, weaker than superlatives: "the big dog".
SIZE_WORDS = {
    "big": "largest", "large": "largest", "huge": "largest", "giant": "largest",
    "small": "smallest", "little": "smallest", "tiny": "smallest", "mini": "smallest",
    "tall": "tallest",
}  # fmt: skip
FROM_SIDE = {
    "left": "leftmost", "right": "rightmost", "top": "topmost", "bottom": "bottommost",
    "front": "nearest", "back": "farthest", "middle": "middle",
}  # fmt: skip
CAMERA_WORDS = frozenset("camera viewer us me photographer lens you front foreground".split())

NEGATION_WORDS = _table(
    "exclude: not, but not, and not, except, except for, excluding, other than, rather than, "
    "instead of, excepting, but no, no, isn't, aren't, wasn't, weren't, doesn't, don't"
)
WITHOUT = _table("without: without, lacking, missing, not wearing, not holding, with no, w/o")
# Words after which the thing meant goes on being described, and that say nothing by themselves.
FILLERS = frozenset(
    "that which who is are was were 's being located positioned placed situated also just located "
    "seated parked standing sitting lying laying resting there down up out directly slightly "
    "shown seen visible found all only appearing it counting".split()
)
FILLER_PHRASES = _table("skip: all the way, by far, out of all, of all, as seen")
# Before a relation they say no more: "[right] next to the cup", "[just] left of the cup".
NEARLY = frozenset("right just directly slightly immediately straight".split())

# Parts of whoever is meant, not things beside them: "leaning his head on his hand".
BODY = frozenset(
    "head hand hands face lap back shoulder shoulders arm arms leg legs foot feet mouth neck ear "
    "ears eye eyes nose knee knees side waist wrist hair stomach chest".split()
)

# What is worn: "in a red shirt" is no place. Colors alone are worn too: "the man in blue".
CLOTHES = frozenset(
    "shirt tshirt t-shirt tee top blouse sweater sweatshirt hoodie jumper cardigan jacket coat "
    "parka blazer vest suit tuxedo dress gown skirt pants trousers jeans shorts leggings tights "
    "socks stockings shoes boots sneakers sandals heels hat cap helmet beanie hood scarf tie bow "
    "gloves mittens belt glasses sunglasses goggles mask apron uniform robe pajamas swimsuit "
    "bikini wetsuit jersey outfit costume clothes clothing headband bandana headphones backpack "
    "kimono sari poncho overalls tank tanktop tights stripes plaid denim leather costume armor "
    "kit trunks".split()
)
