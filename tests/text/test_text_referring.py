"""Referring expressions: what is understood, word by word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grounding_sdk import Phrase, Query, QueryError
from grounding_sdk.target import KINDS, Condition, Target
from grounding_sdk.text.referring import read_phrases, read_prompt

# A query prints what it means: "2 dog [largest]" asks a detector for "dog" and keeps two, by size;
# "all" keeps all that fit; what stands without a number is a plain phrase.
EXPRESSIONS = [
    ("the cups except the leftmost one", "all cup [not leftmost]"),
    ("cats, not the largest one", "all cat [not largest]"),
    ("the dogs, not the other two", "all dog [not same as dog]"),
    ("something to sit on, not a chair", "something to sit on . not chair for something to sit on"),
    ("the cup left of the laptop", "1 cup [left of laptop]"),
    ("the two largest dogs", "2 dog [largest]"),
    ("helmet but not cap", "helmet . not cap for helmet"),
    ("a dog . red car", "a dog . red car"),
    ("dog, not toy dog", "dog . not toy dog for dog"),
    ("dog . not toy dog", "dog . not toy dog"),
    ("the cup, left of the laptop", "1 cup [left of laptop]"),
    ("the second dog from the left", "1 dog [2. leftmost]"),
    ("second from the left", "all object [2. leftmost]"),
    ("the third largest box", "1 box [3. largest]"),
    ("the dog closest to the camera", "1 dog [nearest]"),
    ("the dog nearest the door", "1 dog [nearest door]"),
    ("the leftmost cup", "1 cup [leftmost]"),
    ("the left cup", "1 cup [left]"),
    ("the cup on the far left", "1 cup [left]"),
    ("the bottom left bowl", "1 bowl [bottom; left]"),
    ("the bowl in the bottom left corner of the image", "1 bowl [bottom; left]"),
    ("the chair between the table and the window", "1 chair [between table and window]"),
    ("the chair between the two tables", "1 chair [between table]"),
    ("the cup that is not on the table", "1 cup [not on table]"),
    ("the cup not on the table", "1 cup [not on table]"),
    ("the cups, not the red one", "all cup [not red color]"),
    ("cup but not the red one", "all cup [not red color]"),
    ("person without helmet", "all person [not wearing helmet]"),
    ("person wearing helmet", "all person [wearing helmet]"),
    ("man with a hat and a bag", "all man [wearing hat; with bag]"),
    ("the man's hat", "1 hat [held by man]"),
    ("all dogs", "dogs"),
    ("every dog on the sofa", "all dog [on sofa]"),
    ("both cats", "2 cat"),
    ("three cups on the table", "3 cup [on table]"),
    ("10 people", "10 person"),
    ("2.5 mm screw", "2.5 mm screw"),
    ("4 door car", "4 door car"),
    ("salt and pepper shaker", "salt and pepper shaker"),
    ("a black and white cat", "a black and white cat"),
    ("a dog and a cat", "a dog . a cat"),
    ("the cup and the plate", "1 cup . 1 plate"),
    ("the cup and plate", "1 cup . 1 plate"),
    ("two dogs and a cat", "a cat . 2 dog"),
    ("one of the dogs", "1 dog"),
    ("the largest of the three dogs", "1 dog [largest]"),
    ("a bunch of bananas", "a bunch of bananas"),
    ("the slice of pizza on the plate", "1 slice of pizza [on plate]"),
    ("cup of coffee", "cup of coffee"),
    ("a photo of a dog", "a photo of a dog"),
    ("ice cream cone", "ice cream cone"),
    ("hot dog", "hot dog"),
    ("person", "person"),
    ("top hat", "top hat"),
    ("the front door", "1 front door"),
    ("the top shelf", "1 shelf [top]"),
    ("front wheel", "front wheel"),
    ("the woman next to the man holding an umbrella", "1 woman [near man [holding umbrella]]"),
    ("the man holding an umbrella next to the woman", "1 man [holding umbrella; near woman]"),
    ("the suitcase that the man is holding", "1 suitcase [held by man]"),
    ("the smallest of the dogs on the couch", "1 dog [smallest; on couch]"),
    (
        "the person on the right in a blue shirt",
        "1 person [right; wearing blue shirt [blue color]; blue color]",
    ),
    ("the dog lying under the table", "1 dog [under table]"),
    ("the book on top of the stack of books", "1 book [on stack of books]"),
    ("the cup on the left of the laptop", "1 cup [left of laptop]"),
    ("the cup to the right of the plate", "1 cup [right of plate]"),
    ("the man in the middle", "1 man [middle]"),
    ("middle person", "middle person"),
    ("left man in blue", "left man"),
    ("guy far right", "all guy [right]"),
    ("girl second from right", "all girl [2. rightmost]"),
    ("the dog behind the fence", "1 dog [behind fence]"),
    ("the bird above the house", "1 bird [above house]"),
    ("the car bigger than the truck", "1 car [larger than truck]"),
    ("the bigger of the two cups", "1 cup [largest]"),
    ("the object on the table", "1 object [on table]"),
    ("the one on the left", "1 object [left]"),
    ("leftmost", "1 object [leftmost]"),
    ("the tall man", "1 tall man [tallest]"),
    ("the tallest building in the background", "1 building [tallest; back]"),
    ("something to sit on", "something to sit on"),
    ("собака на столе", "собака на столе"),
    ("auto a la izquierda", "auto a la izquierda"),
    ("the 🐶 on the left", "the 🐶 on the left"),
    ("on the table", "on the table"),
    ("left", "left"),
    ("of", "of"),
    ("not", "not"),
    ("the dog that is closest to the center", "1 dog [center]"),
    ("the dog farthest from the camera", "1 dog [farthest]"),
    ("the last car on the right", "1 car [rightmost]"),
    ("the people sitting on the bench", "all person [on bench]"),
    ("the woman who is wearing a red hat", "1 woman [wearing red hat [red color]; red color]"),
    ("the cat that's sleeping on the couch", "1 cat [on couch]"),
    ("person riding a bike", "all person [on bike]"),
    (
        "the white cup with a handle on the left side of the table",
        "1 white cup [white color; with handle; left of table]",
    ),
    ("a cat, a dog, and a bird", "a cat . a dog . a bird"),
    ("the zebra in front of the other zebra", "1 zebra [in front of zebra]"),
    ("a man in a suit", "all man [wearing suit]"),
    ("dogs not on the couch", "all dog [not on couch]"),
    ("every person except the man in red", "all person [not same as man [red color]]"),
    ("dog other than poodle", "dog . not poodle for dog"),
    ("the umbrella held by the woman", "1 umbrella [held by woman]"),
    ("the kid looking at the camera", "1 kid"),
    ("the pizza without cheese", "1 pizza [not holding cheese]"),
    ("teddy bear . scissors", "teddy bear . scissors"),
    ("the scissors on the right", "1 scissors [right]"),
    ("the bear on the left", "1 bear [left]"),
    ("the upper hot dog", "1 hot dog [top]"),
    ("the bigger dining table", "1 dining table [largest]"),
    ("the smaller sports ball", "1 sports ball [smallest]"),
    ("the lower parking meter", "1 parking meter [bottom]"),
    ("the stop sign on the right", "1 stop sign [right]"),
    ("the upper traffic light", "1 traffic light [top]"),
    ("the man on the left wearing a hat", "1 man [left; wearing hat]"),
    ("the red car parked behind the truck", "1 red car [red color; behind truck]"),
    ("the boy with the ball", "1 boy [with ball]"),
    ("the woman sitting at the table", "1 woman [near table]"),
    ("the person standing next to the blue bus", "1 person [near blue bus [blue color]]"),
    ("the cup that is left of the laptop", "1 cup [left of laptop]"),
    ("the cup which is on the table", "1 cup [on table]"),
    ("the cup to the left", "1 cup [left]"),
    ("the cup to the left of the one with a handle", "1 cup [left of cup [with handle]]"),
    ("the horse on the right side", "1 horse [right]"),
    ("the horse on the right side of the picture", "1 horse [right]"),
    ("the horse on the right-hand side", "1 horse [right]"),
    ("the upper left window", "1 window [top; left]"),
    ("the window at the upper left", "1 window [top; left]"),
    ("the top-left window", "1 window [top; left]"),
    ("the tree in the background", "1 tree [back]"),
    ("the bird in the foreground", "1 bird [front]"),
    ("the farthest boat", "1 boat [farthest]"),
    ("the boat farthest away", "1 boat [farthest]"),
    ("the boat further away", "1 boat [farthest]"),
    ("the closest boat", "1 boat [nearest]"),
    ("the dog closer to the camera", "1 dog [nearest]"),
    ("the giraffe farthest to the left", "1 giraffe [left]"),
    ("the giraffe to the far right", "1 giraffe [right]"),
    ("the second giraffe", "1 giraffe [2. leftmost]"),
    ("the third car from the right", "1 car [3. rightmost]"),
    ("the second largest dog", "1 dog [2. largest]"),
    ("the tallest of the three boys", "1 boy [tallest]"),
    ("the two dogs on the left", "2 dog [left]"),
    ("two dogs on the left", "2 dog [left]"),
    ("all the dogs on the left", "all dog [left]"),
    ("the dogs on the couch", "all dog [on couch]"),
    ("dogs on the couch", "all dog [on couch]"),
    ("any cup on the table", "all cup [on table]"),
    ("each person holding a phone", "all person [holding phone]"),
    ("person not wearing a helmet", "all person [not wearing helmet]"),
    ("the man without glasses", "1 man [not wearing glasses]"),
    ("the man who is not wearing glasses", "1 man [not wearing glasses]"),
    ("the man that isn't wearing a hat", "1 man [not wearing hat]"),
    ("bus but not school bus", "bus . not school bus for bus"),
    ("dog excluding puppies", "dog . not puppy for dog"),
    ("cats except kittens", "cats . not kitten for cats"),
    ("fruit other than bananas", "fruit . not banana for fruit"),
    ("the bananas, but not the green ones", "all banana [not green color]"),
    ("the cup not next to the plate", "1 cup [not near plate]"),
    ("the chair that is not red", "1 chair [not red color]"),
    ("cup without a handle", "all cup [not holding handle]"),
    ("the plate with no food", "1 plate [not holding food]"),
    ("the man between the two women", "1 man [between woman]"),
    ("the ball between the dog and the cat", "1 ball [between dog and cat]"),
    ("a cup between the two plates on the table", "all cup [between plate; on table]"),
    ("the book under the lamp", "1 book [under lamp]"),
    ("the cat below the window", "1 cat [below window]"),
    ("the lamp above the bed", "1 lamp [above bed]"),
    ("the picture over the couch", "1 picture [above couch]"),
    ("the bag inside the car", "1 bag [in car]"),
    ("the apples in the bowl", "all apple [in bowl]"),
    ("the keys in the woman's hand", "all key [held by woman]"),
    ("the woman's bag", "1 bag [held by woman]"),
    ("the dog's bowl", "1 bowl [held by dog]"),
    ("the wheel of the car", "1 wheel [in car]"),
    ("the leg of the chair", "1 leg [in chair]"),
    ("the roof of the red house", "1 roof [in red house [red color]]"),
    ("the man in black", "1 man [black color]"),
    ("the woman in the red dress", "1 woman [wearing red dress [red color]; red color]"),
    ("the girl in pink and white", "1 girl [pink color; white color]"),
    ("the player in white on the left", "1 player [white color; left]"),
    (
        "a man in a blue shirt and jeans",
        "all man [wearing blue shirt [blue color]; blue color; wearing jeans]",
    ),
    (
        "the man wearing a blue shirt and black pants",
        "1 man [wearing blue shirt [blue color]; blue color; wearing black pants [black color]; black color]",  # noqa: E501
    ),
    ("the lady dressed in green", "1 lady [green color]"),
    ("the person holding the umbrella", "1 person [holding umbrella]"),
    ("the person carrying a surfboard under his arm", "1 person [holding surfboard]"),
    ("the child eating an apple", "1 child [holding apple]"),
    ("the cat looking out of the window", "1 cat [in window]"),
    ("the dog looking at the cat", "1 dog [near cat]"),
    ("the man riding the brown horse", "1 man [on brown horse [brown color]]"),
    ("the horse the man is riding", "1 horse [held by man]"),
    ("the chair the cat is sitting on", "1 chair [with cat]"),
    ("the laptop being used by the woman", "1 laptop [near woman]"),
    ("the bike leaning against the wall", "1 bike [touching wall]"),
    ("the car parked on the street", "1 car [on street]"),
    ("the pizza covered with cheese", "1 pizza [with cheese]"),
    ("the vase filled with flowers", "1 vase [with flower]"),
    ("the glass of wine on the left", "1 glass of wine [left]"),
    ("the bottle of water next to the plate", "1 bottle of water [near plate]"),
    ("a pair of scissors", "a pair of scissors"),
    ("the pair of shoes on the floor", "1 pair of shoes [on floor]"),
    ("the group of people on the beach", "1 group of people [on beach]"),
    ("the slice of cake closest to the fork", "1 slice of cake [nearest fork]"),
    ("the traffic light above the bus", "1 traffic light [above bus]"),
    ("the stop sign behind the tree", "1 stop sign [behind tree]"),
    ("the hot dog on the left", "1 hot dog [left]"),
    ("the potted plant near the window", "1 potted plant [near window]"),
    ("the dining table in front of the couch", "1 dining table [in front of couch]"),
    ("the wooden chair", "1 wooden chair"),
    ("the small white dog", "1 small white dog [smallest; white color]"),
    (
        "the big brown bear behind the small bear",
        "1 big brown bear [largest; brown color; behind small bear [smallest]]",
    ),
    ("the little girl in the middle", "1 little girl [smallest; middle]"),
    ("the middle giraffe", "1 giraffe [middle]"),
    ("the chair in the center", "1 chair [middle]"),
    ("the person in the center of the image", "1 person [middle]"),
    ("the cup in the middle of the table", "1 cup [in table]"),
    ("the bigger elephant", "1 elephant [largest]"),
    ("the smaller of the two elephants", "1 elephant [smallest]"),
    ("the elephant that is bigger", "1 elephant [largest]"),
    ("the taller man", "1 man [tallest]"),
    ("the man taller than the woman", "1 man [taller than woman]"),
    ("the person higher up", "1 person [topmost]"),
    ("the lowest shelf", "1 shelf [bottommost]"),
    ("the highest kite", "1 kite [topmost]"),
    ("the kite highest in the sky", "1 kite [topmost; in sky]"),
    ("the bottom most book", "1 book [bottommost]"),
    ("the left most person", "1 person [leftmost]"),
    ("the person farthest left", "1 person [left]"),
    ("rightmost zebra", "1 zebra [rightmost]"),
    ("bottom right bowl", "all bowl [bottom; right]"),
    ("left guy", "left guy"),
    ("the guy on left", "1 guy [left]"),
    ("man on right with hat", "all man [right; wearing hat]"),
    ("lady in middle", "all lady [middle]"),
    ("2nd from left", "all object [2. leftmost]"),
    ("first on the left", "all object [leftmost]"),
    ("the last one", "1 object [rightmost]"),
    ("the first one from the right", "1 object [rightmost]"),
    ("the red one", "1 red object [red color]"),
    ("the one in red", "1 object [red color]"),
    ("the thing next to the cup", "1 object [near cup]"),
    ("the white object on the desk", "1 white object [white color; on desk]"),
    ("the zebra facing left", "1 zebra"),
    ("the zebra facing the camera", "1 zebra"),
    ("the person on the bench in the middle", "1 person [on bench; middle]"),
    ("the truck at the front of the line", "1 truck [in line]"),
    ("the train at the back", "1 train [back]"),
    ("the bus at the bottom of the hill", "1 bus [in hill]"),
    ("the front wheel of the bike", "1 front wheel [in bike]"),
    ("the back wheel", "1 back wheel"),
    ("the edge of the table", "1 edge [in table]"),
    ("the apple near the edge of the table", "1 apple [on table]"),
    ("the cup at the edge of the picture", "1 cup [edge]"),
    ("cup in the top right corner", "all cup [top; right]"),
    ("the corner of the room", "1 corner [in room]"),
    ("THE CUP LEFT OF THE LAPTOP", "1 CUP [left of LAPTOP]"),
    ("The Cup, Left Of The Laptop!", "1 Cup [left of Laptop]"),
    ("the cup   left of    the laptop", "1 cup [left of laptop]"),
    ("the café chair left of the crème brûlée", "1 café chair [left of crème brûlée]"),
    ("“the cup” left of the laptop", "1 cup [left of laptop]"),
    ("t-shirt on the left", "all t-shirt [left]"),
    ("a man and a woman", "a man . a woman"),
    ("the man and the woman on the bench", "1 man . 1 woman [on bench]"),
    ("man and woman", "man and woman"),
    ("knife and fork", "knife and fork"),
    ("the bread and butter on the plate", "1 bread . 1 butter [on plate]"),
    ("dogs and cats", "dogs and cats"),
    ("the black cat and the white dog", "1 black cat [black color] . 1 white dog [white color]"),
    ("a red or blue car", "a red or blue car"),
    ("person, dog, red car", "person . dog . red car"),
    ("the cup, the plate and the fork", "1 cup . 1 plate . 1 fork"),
    ("a cup left of a plate . dog", "dog . all cup [left of plate]"),
    ("the dog . the largest cat . bird", "bird . 1 dog . 1 cat [largest]"),
    ("dog; cat on the sofa", "dog . all cat [on sofa]"),
    (
        "a person who is next to a person who is next to a car",
        "all person [near person [near car]]",
    ),
    (
        "the cup on the table in the kitchen next to the window",
        "1 cup [on table; in kitchen; near window]",
    ),
    ("the man holding a cup of coffee", "1 man [holding cup of coffee]"),
    (
        "the man with a beard holding a phone next to the car on the left",
        "1 man [with beard; holding phone; near car; left]",
    ),
    ("the dog on the left of the dog on the right", "1 dog [left of dog [right]]"),
    ("the bowl with the spoon", "1 bowl [with spoon]"),
    ("the smallest red apple", "1 red apple [smallest; red color]"),
    ("most of the dogs", "dogs"),
    ("some people", "people"),
    ("several birds in the sky", "all bird [in sky]"),
    ("many cars", "cars"),
    ("a few apples on the table", "all apple [on table]"),
    ("3 cars", "3 car"),
    ("twenty-one birds", "twenty-one birds"),
    ("1 dog", "1 dog"),
    ("the 2 cups", "2 cup"),
    ("Coca-Cola can", "Coca-Cola can"),
    ("el gato negro", "el gato negro"),
    ("le chat à gauche", "le chat à gauche"),
    ("左边的杯子", "左边的杯子"),
    ("猫 . 狗", "猫 . 狗"),
]

# Where one thing is meant, as in data sets of referring expressions, also by a bare noun.
REFERRING = [
    ("the woman on the phone", "1 woman [on phone]"),
    ("the boy in the striped shirt", "1 boy [wearing striped shirt]"),
    ("the man whose back is turned", "1 man"),
    ("the plate with the sandwich", "1 plate [with sandwich]"),
    ("the horse being ridden", "1 horse"),
    ("the person closest to the net", "1 person [nearest net]"),
    ("the batter", "1 batter"),
    ("the umpire in black", "1 umpire [black color]"),
    ("the cat on top of the tv", "1 cat [on tv]"),
    ("the elephant with its trunk raised", "1 elephant [with trunk]"),
    ("the giraffe bending down", "1 giraffe"),
    ("the zebra drinking water", "1 zebra [holding water]"),
    ("the skateboard in the air", "1 skateboard [in air]"),
    ("the bottle without a cap", "1 bottle [not wearing cap]"),
    ("the pizza slice on the left plate", "1 pizza slice [on plate [left]]"),
    ("the surfboard under the man's arm", "1 surfboard [held by man]"),
    ("the sheep looking at the camera", "1 sheep"),
    ("the bicycle leaning on the tree", "1 bicycle [touching tree]"),
    ("the umbrella on the far right", "1 umbrella [right]"),
    ("the clock on the tower", "1 clock [on tower]"),
    ("the train car in the front", "1 train car [front]"),
    ("the kite that is highest", "1 kite [topmost]"),
    ("the donut with sprinkles", "1 donut [with sprinkle]"),
    ("the half-eaten pizza", "1 half-eaten pizza"),
    ("the bench in the shade", "1 bench [in shade]"),
    ("the tallest vase", "1 vase [tallest]"),
    ("the vase with flowers in it", "1 vase [with flower]"),
    ("the blue and yellow train", "1 blue and yellow train [blue color; yellow color]"),
    ("the suitcase closest to the wall", "1 suitcase [nearest wall]"),
    ("the oven door", "1 oven door"),
    (
        "the person in the background wearing a red hat",
        "1 person [back; wearing red hat [red color]; red color]",
    ),
    ("the girl with long hair", "1 girl [with long hair]"),
    ("the man with a beard and glasses", "1 man [with beard; wearing glasses]"),
    ("the man in the front row on the left", "1 man [in row [front]; left]"),
    ("the car behind the bus on the right", "1 car [behind bus; right]"),
    ("the kid sitting on the man's lap", "1 kid [held by man]"),
    ("the laptop closest to the window", "1 laptop [nearest window]"),
    ("the dog with the frisbee in its mouth", "1 dog [with frisbee]"),
    ("the cow lying down", "1 cow"),
    ("the cow standing up", "1 cow"),
    ("the bowl of soup", "1 bowl of soup"),
    ("the bowl containing fruit", "1 bowl [with fruit]"),
    ("the cup of coffee next to the laptop", "1 cup of coffee [near laptop]"),
    ("the book on the very top of the pile", "1 book [on pile]"),
    ("the lower of the two shelves", "1 shelf [bottom]"),
    ("the man standing behind the counter", "1 man [behind counter]"),
    ("the woman sitting between two men", "1 woman [between man]"),
    ("the man without a shirt", "1 man [not wearing shirt]"),
    ("the player about to hit the ball", "1 player [with ball]"),
    ("the orange in front of the banana", "1 orange [in front of banana]"),
    ("the oranges on the right", "all orange [right]"),
    ("the glass with red wine", "1 glass [with red wine [red color]]"),
    ("the red stop sign", "1 red stop sign [red color]"),
    ("the bus that says school", "1 bus"),
    ("the woman looking down", "1 woman"),
    ("the truck on the left hand side of the road", "1 truck [left of road]"),
    ("the nearest of the three boats", "1 boat [nearest]"),
    ("the boat in the middle of the lake", "1 boat [in lake]"),
    ("the person who is furthest from the camera", "1 person [farthest]"),
    ("the big elephant, not the baby", "1 big elephant [largest; not same as baby]"),
    ("the person's hand holding the phone", "1 hand [held by person; holding phone]"),
    ("the black suitcase on wheels", "1 black suitcase [black color; on wheel]"),
    ("the man riding a motorcycle on the left", "1 man [on motorcycle; left]"),
    ("the motorcycle being ridden by the man in red", "1 motorcycle [held by man [red color]]"),
    ("the fork to the left of the plate", "1 fork [left of plate]"),
    ("the knife between the fork and the spoon", "1 knife [between fork and spoon]"),
    ("the mouse next to the keyboard", "1 mouse [near keyboard]"),
    ("the distant boat", "1 boat [farthest]"),
    ("the boat far away", "1 boat [back]"),
    ("the faraway boat", "1 boat [farthest]"),
    ("background person", "1 person [back]"),
    ("the background person", "1 person [back]"),
    ("the foreground person", "1 person [front]"),
    ("the cup far from the plate", "1 cup [far from plate]"),
    ("the cup far away from the plate", "1 cup [far from plate]"),
    ("the cup right next to the plate", "1 cup [near plate]"),
    ("the cup just left of a plate", "1 cup [left of plate]"),
    ("the cup leftward of the plate", "1 cup [left of plate]"),
    ("the cup on the plate's left", "1 cup [left of plate]"),
    ("the cup to the plate's left side", "1 cup [left of plate]"),
    ("the cup with the plate to its right", "1 cup [left of plate]"),
    ("the cup, left", "1 cup [left]"),
    ("the left of the two cups", "1 cup [left]"),
    ("the right of the two cups", "1 cup [right]"),
    ("the one in the middle of the three cups", "1 cup [middle]"),
    ("the one on the left", "1 object [left]"),
    ("third from left cup", "1 cup [3. leftmost]"),
    ("the third from the left cup", "1 cup [3. leftmost]"),
    ("the second cup counting from the left", "1 cup [2. leftmost]"),
    ("the cup all the way to the right", "1 cup [right]"),
    ("the cup between the other two", "1 cup [between cup]"),
    ("the cup to the left of the other two cups", "1 cup [left of cup]"),
    ("the man on the far left", "1 man [left]"),
    ("the far left cup", "1 cup [left]"),
    ("person on far right", "1 person [right]"),
    ("the cup in the far corner", "1 cup [corner]"),
    ("the boat far away", "1 boat [back]"),
    ("the rightmost cup of the seven", "1 cup [rightmost]"),
    ("the largest dog of the three", "1 dog [largest]"),
    ("the wheel of the two cars", "1 wheel [in car]"),
    ("left man in blue", "1 man [left; blue color]"),
    ("man left", "1 man [left]"),
    ("guy far right", "1 guy [right]"),
    ("girl second from right", "1 girl [2. rightmost]"),
    ("middle person", "1 person [middle]"),
    ("lady in middle", "1 lady [middle]"),
    ("bottom left bowl", "1 bowl [bottom; left]"),
    ("top right corner", "1 corner [top; right]"),
    ("right giraffe", "1 giraffe [right]"),
    ("front bus", "1 bus [front]"),
    ("back bus", "1 bus [back]"),
    ("white shirt guy", "1 white shirt guy [white color]"),
    ("blue shirt on right", "1 blue shirt [blue color; right]"),
    ("man in red on the left", "1 man [red color; left]"),
    ("kid with glasses", "1 kid [wearing glasses]"),
    ("woman closest to us", "1 woman [nearest]"),
    ("green broccoli", "1 green broccoli [green color]"),
    ("person", "1 person"),
    ("dogs", "dogs"),
    ("two dogs", "2 dog"),
    ("tallest kid", "1 kid [tallest]"),
    ("black dog behind the white one", "1 black dog [black color; behind white dog [white color]]"),
    ("the man with the hat", "1 man [wearing hat]"),
    ("leftmost", "1 object [leftmost]"),
    ("red one", "1 red object [red color]"),
    ("far left person", "1 person [left]"),
    ("person far left", "1 person [left]"),
    ("2nd man from left", "1 man [2. leftmost]"),
    ("guy in the back", "1 guy [back]"),
    ("zebra in front", "1 zebra [front]"),
    ("chair next to woman", "1 chair [near woman]"),
    ("half eaten sandwich", "1 half eaten sandwich"),
    ("partially visible person on left", "1 partially visible person [left]"),
    ("glass closest to the bottle", "1 glass [nearest bottle]"),
    ("cake nearest", "1 cake [nearest]"),
]


@pytest.mark.parametrize("text, meaning", EXPRESSIONS)
def test_expressions_mean_what_they_say(text, meaning):
    assert str(read_prompt(text)) == meaning


@pytest.mark.parametrize("text, meaning", REFERRING)
def test_in_a_referring_expression_a_bare_noun_means_one_thing(text, meaning):
    assert str(read_prompt(text, referring=True)) == meaning


def test_a_target_keeps_its_parts_and_where_it_stood():
    text = "dog . the two big red cups left of the old laptop"
    query = read_prompt(text)
    (cups,) = query.targets
    assert cups == Target(
        "big red cup",
        head="cups",
        count=2,
        conditions=(
            Condition("largest", text="big"),
            Condition("color", value="red", text="red"),
            Condition(
                "left of",
                (
                    Target(
                        "old laptop",
                        head="laptop",
                        count=1,
                        text="the old laptop",
                        span=(35, 49),
                    ),
                ),
                text="left of the old laptop",
            ),
        ),
        text="the two big red cups left of the old laptop",
        span=(6, 49),
    )


def test_what_was_not_understood_is_kept():
    (target,) = read_prompt("the zebra facing left in the mud").targets
    assert target.ignored == ("facing left",)
    assert [str(condition) for condition in target.conditions] == ["in mud"]


@pytest.mark.parametrize("text", ["dog . red car", "a cat, a dog", "salt and pepper shaker"])
def test_plain_prompts_stay_what_they_are(text):
    assert read_prompt(text) == Query.of(text)


def test_phrases_of_a_list_are_read_with_their_labels_and_thresholds():
    asked = Query.of({"the largest dog": "A", "cat": "B", "cup, not mug": "C"})
    query = read_phrases(asked.with_threshold(0.2))
    assert query.wanted == ("B", "C", "A")
    assert [(p.text, p.label, p.threshold, p.role) for p in query] == [
        ("cat", "B", 0.2, "find"),
        ("cup", "C", 0.2, "find"),
        ("dog", "dog", 0.2, "part"),
        ("mug", "C", None, "exclude"),
    ]
    assert query.targets[0].label == "A"


def test_reading_again_changes_nothing():
    query = read_prompt("the cup left of the laptop . dog, not toy dog")
    assert read_phrases(query).phrases == query.phrases


@pytest.mark.parametrize("text", ["no dogs", "not a cat", "without"])
def test_a_prompt_that_only_excludes_says_so_or_stays_a_phrase(text):
    if text == "without":
        assert read_prompt(text).texts == ("without",)
    else:
        with pytest.raises(QueryError, match="what to look for"):
            read_prompt(text)


WORDS = st.sampled_from(
    "the a two red cup left of on laptop not and , 's largest second from man holding his that is "
    "in between one ones 3 without middle corner - ( ” é 猫 🐶 closest to than next".split()
)


@given(st.lists(WORDS, min_size=1, max_size=25).map(" ".join), st.booleans())
def test_any_words_have_a_meaning_whose_spans_index_them(text, referring):
    check(text, referring)


@pytest.mark.parametrize("referring", [False, True])
def test_a_clause_may_end_before_it_says_anything(referring):
    for text in ("two on two that", "one from cup not who", "two largest ones of two"):
        check(text, referring)


@pytest.mark.parametrize("some", ["two", "the two", "these two"])
def test_one_of_some_has_its_conditions(some):
    plain = read_prompt("the leftmost cup near the dog", referring=True)
    of_some = read_prompt(f"the leftmost cup of {some} near the dog", referring=True)
    assert of_some.texts == plain.texts
    kinds = [
        [condition.kind for condition in query.targets[0].conditions] for query in (plain, of_some)
    ]
    assert kinds == [["leftmost", "near"]] * 2
    assert read_prompt(f"the leftmost cup of {some}", referring=True).targets[0].phrase == "cup"


@given(st.text(max_size=200), st.booleans())
def test_any_text_has_a_meaning_or_a_clear_error(text, referring):
    check(text, referring)


def check(text, referring):
    try:
        query = read_prompt(text, referring=referring)
    except QueryError:
        return
    for phrase in query:
        if phrase.span and phrase.role == "find":
            start, end = phrase.span
            assert Phrase(text[start:end]).text == phrase.text
    for target in query.targets:
        for part in target.walk():
            start, end = part.span
            assert text[start:end] == part.text
            assert part.phrase in query.texts
            assert all(condition.kind in KINDS for condition in part.conditions)
    assert str(query)


@pytest.mark.parametrize(
    "text",
    [
        "the cup left of the laptop. " * 4000,
        "\n".join(f"the {n}th cup on the left" for n in range(4000)),
        "the cup next to " * 40 + "the cup",
        "the man's " * 60 + "hat",
        "not " * 200 + "dog",
        "((((((((((dog))))))))))",
    ],
    ids=["repeats", "many", "deep", "owners", "not", "brackets"],
)
def test_long_and_strange_texts_are_read(text):
    assert len(read_prompt(text)) >= 1


def test_a_page_of_text_without_separators_is_refused():
    with pytest.raises(QueryError, match="characters"):
        read_prompt("dog " * 25_000)
