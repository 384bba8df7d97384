"""What things are for and what kinds there are, as names that a detector knows: a table, no code.

Each line has cues before the colon and names after it, both separated by commas. A cue is met by a
text that has all its words, in any form and order. Names stand with the most likely first; those of
two lines are spelled alike, so that what is asked by two cues can be told ("animal" that one can
"ride"). `grounding_sdk.text.rewrite` reads it.
"""

from __future__ import annotations

# Kinds of things. They are also what is asked where they stand alone: "animals".
CATEGORIES = """
animal, creature: dog, cat, bird, horse, cow, sheep, elephant, bear, zebra, giraffe, rabbit, fish
pet: dog, cat, rabbit, hamster, parrot, goldfish
livestock, farm animal: cow, sheep, pig, goat, horse, chicken
vehicle, transport, transportation: car, truck, bus, motorcycle, bicycle, van, train, boat, airplane
furniture: chair, couch, table, bed, desk, bench, stool, cabinet, bookshelf, dresser
fruit: apple, banana, orange, grape, pear, strawberry, pineapple, lemon, peach, mango, watermelon
vegetable: carrot, broccoli, tomato, potato, onion, cucumber, lettuce, pepper, cabbage, corn
food, snack, meal: pizza, sandwich, cake, bread, hot dog, donut, salad, apple, banana, soup, cookie
dessert, sweets, sweet food: cake, donut, ice cream, cookie, pie, chocolate, candy
drink, beverage: coffee, tea, juice, water bottle, milk, beer, wine, soda can
tableware, dinnerware: plate, bowl, cup, fork, knife, spoon, glass
cutlery, silverware, utensil: fork, knife, spoon, chopsticks
cookware, kitchenware: pot, pan, kettle, baking tray
drinkware: cup, mug, glass, wine glass
clothing, clothes, apparel, garment, outfit: shirt, jacket, trousers, dress, coat, sweater, \
skirt, jeans, shorts
footwear: shoe, boot, sandal, sneaker, slipper
headwear, headgear: hat, cap, helmet
jewelry, jewellery: necklace, ring, bracelet, earring
luggage, baggage: suitcase, backpack, handbag, duffel bag
electronics, electronic device, gadget: laptop, cell phone, television, tablet computer, camera, \
computer monitor, headphones
appliance, household appliance: refrigerator, oven, microwave, toaster, washing machine, dishwasher
tool, hand tool: hammer, screwdriver, wrench, pliers, saw, drill
weapon: gun, knife, sword, rifle
toy: teddy bear, doll, ball, toy car, building blocks
musical instrument, instrument: guitar, piano, violin, drum, trumpet, flute
sports equipment, sporting goods: ball, tennis racket, baseball bat, skateboard, skis, surfboard
plant: potted plant, tree, flower, bush
insect, bug: butterfly, bee, ant, beetle, fly, spider
stationery, office supplies: pen, pencil, notebook, stapler, scissors, eraser
seating: chair, couch, bench, stool, armchair
bedding: pillow, blanket, sheet
traffic sign, road sign: stop sign, speed limit sign, street sign
container: bottle, box, jar, bag, basket, bucket, can, bowl
"""

# What is done with, in or on things, and what they do.
AFFORDANCES = """
sit, take seat, rest leg, rest foot, tired leg, lean back, relax: chair, couch, bench, stool, \
armchair
sleep, lie down, nap, lie on, lay down, rest at night, go to bed: bed, couch, mattress, hammock
rest head, head lie, support head: pillow, cushion
drink, thirsty, thirst, sip, refresh: water bottle, juice, coffee, tea, milk, beer, wine, soda can
drink from, drink out, drink in, hold drink, drink coffee from, sip from, hold coffee, hold tea: \
cup, mug, glass, wine glass, water bottle
pour, pour from, serve tea: jug, teapot, kettle, pitcher, bottle
eat, hungry, hunger, bite, taste, edible: pizza, sandwich, cake, bread, hot dog, donut, salad, \
apple, banana, soup, cookie
eat with, pick up food with: fork, spoon, knife, chopsticks
eat soup, eat soup with, stir, scoop: spoon, ladle
eat from, eat off, eat out of, serve food on, put food on: plate, bowl, tray
cut, cut with, slice, chop, carve: knife, scissors
cut paper, cut hair, cut cloth: scissors
cut wood, cut tree: saw, axe, chainsaw
cut grass, mow: lawn mower
sharp, sharp edge: knife, scissors, needle, axe
cook in, fry, boil, cook pot: pot, pan, kettle
cook, heat food, bake, roast: oven, stove, microwave, pot, pan
warm leftover, heat leftover, reheat, warm up food, warm food, heat up: microwave, oven, stove
boil water, make tea: kettle, stove
make coffee, brew coffee: coffee maker
serve by barista, barista, morning drink, caffeine: coffee, cup
toast, toast bread: toaster
blend, mix ingredient: blender, mixing bowl, whisk
grill, barbecue: grill
time, hour, late, punctual, clock: clock, wristwatch
wake up: alarm clock
keep dry, stay dry, rain, get wet, protect from rain: umbrella, raincoat, rubber boots
dry hand, dry off, dry with, dry body, wipe, spill: towel, paper towel
dry hair: hair dryer, towel
sun, shade, protect from sun: umbrella, parasol, sunglasses, hat
protect eye, see better, improve vision, poor sight: glasses, sunglasses, goggles
protect head, protect skull, safe on bike, ride safely: helmet, hat
keep warm, stay warm, warm, cold weather, feel cold, winter, freeze: jacket, coat, blanket, \
sweater, scarf, gloves, heater
warm hand, protect hand: gloves, mittens
warm room, heat room, give heat: heater, fireplace, radiator, stove
hot, burn, burn you, hot touch: fire, stove, candle, coffee, kettle, iron
cool room, cool air, blow air, cool you: fan, air conditioner
ride, get on and ride: bicycle, motorcycle, horse, skateboard, scooter, elephant, camel
drive: car, truck, bus, van, tractor
travel, commute, go somewhere, go far, drive to work: car, bus, train, bicycle, airplane, motorcycle
fly, in the sky: airplane, bird, kite, helicopter, drone
float, sail, cross water, on water, sea, steer sea, row, paddle: boat, ship, surfboard, canoe
two wheel, pedal: bicycle, motorcycle, scooter
push child, push baby, carry baby, baby push, transport baby: stroller
write, write with, draw, draw with, sign document: pen, pencil, marker, crayon
write on, note, jot, draw on, diary: notebook, paper, whiteboard
paint: paintbrush, easel
erase: eraser
read: book, newspaper, magazine
watch, watch movie, watch show: television, computer monitor, laptop
play: ball, teddy bear, toy car, doll, video game controller, board game
play music, make music, play song, music, melody, tune, band: guitar, piano, violin, drum, \
trumpet, flute
listen, listen music, hear, sound, noise: headphones, speaker, radio
play game, video game: video game controller, computer, board game
kick, throw, bounce, catch: ball, frisbee
hit ball, swing: baseball bat, tennis racket, golf club
call, phone, talk far, talk friend, contact someone, communicate: cell phone, telephone
type, type on: keyboard, laptop
computer, work on, browse internet, surf web, send email: laptop, computer, tablet computer, \
computer monitor
click, move cursor: computer mouse
photo, picture, photograph, record video: camera, cell phone
change channel, control television, turn television on: remote control
open bottle, uncork: bottle opener, corkscrew
open tin: can opener
open door, unlock, lock, lock door: key, lock, door handle
carry, pack, hold belonging, trip, bring along: bag, backpack, handbag, suitcase, basket, \
shopping cart
store food cold, keep food cold, keep cold, chill, keep fresh, spoil, keep milk: refrigerator, \
cooler
store, put away, organize, keep in: cabinet, shelf, drawer, box, dresser
store book, put book, hold book: bookshelf, shelf
hang clothes, hang coat: hanger, coat rack, wardrobe
put plate on, eat meal, study, do homework: table, desk, shelf
light, light room, give light, lit up, illuminate, see in dark, see night, shine, bright, source \
light, read at night: lamp, ceiling light, candle, flashlight, light bulb
reflect, see yourself, look at yourself, reflection: mirror
look outside, look out, daylight, sunlight, let light in, see outside: window
enter, exit, go through, leave room: door, gate
climb, reach high, reach shelf, reach top, reach, get up to roof: ladder, stairs, step stool
wear on foot, foot, walk in, run in: shoe, boot, sandal, sneaker, slipper
wear on head, cover head, head wear: hat, cap, helmet
wear on hand: gloves, ring, wristwatch
around neck, neck: necklace, scarf, tie
wear, put on body, dressed: shirt, jacket, trousers, dress, coat, sweater, skirt, hat, shoe
clean floor, sweep, mop, vacuum: broom, mop, vacuum cleaner
clean, clean with, scrub: sponge, brush, broom, mop, cloth
wash hand, wash face, wash dish, wash: sink, soap, faucet
wash clothes, laundry: washing machine, laundry basket
wash body, bathe, take bath, take shower: bathtub, shower
brush tooth, clean tooth, tooth: toothbrush, toothpaste
brush hair, comb, hair: comb, hairbrush
throw away, garbage, trash, waste, put rubbish: trash can, recycling bin
toilet, relieve, go to bathroom, pee: toilet
hammer, hit nail, drive nail: hammer
screw, tighten, loosen, turn screw: screwdriver, wrench
repair, fix, build, construct: hammer, screwdriver, wrench, drill, pliers
dig, garden, plant seed: shovel, rake, watering can
water plant, water flower: watering can, hose
put out fire, fight fire, extinguish: fire extinguisher, fire hydrant, hose
start fire, light candle, light cigarette: lighter, matches
smoke: cigarette, pipe
stick together, attach paper, fasten, bind: tape, glue, stapler, rope
measure, length: ruler, tape measure
weigh, weight: scale
pay, buy, purchase, spend, money, shop with: cash, credit card, wallet, coin
stop car, stop traffic, control traffic, regulate traffic, tell car, tell driver: traffic light, \
stop sign, parking meter
smell nice, smell good, decorate, decoration, ornament: flower, vase, candle, picture frame
hold flower, put flower: vase
swim, by the pool: swimsuit, swimming pool, goggles
slide on snow, snow: skis, snowboard, sled
pull, pull load, tow, farm work, plow: horse, tractor, truck
bark, guard, guard house: dog
meow, catch mouse, purr: cat
milk, give milk: cow, goat
lay egg, egg: chicken, bird
charge, charge phone: charger, power cable, power outlet
power, plug in, electricity: power outlet, battery, power cable
shave, beard: razor
sew, stitch: needle, sewing machine, thread
iron clothes, smooth clothes, wrinkle: iron, ironing board
exercise, work out, lift weight, gym: dumbbell, barbell, treadmill, exercise mat
camp, shelter, sleep outdoors, sleep outside: tent, sleeping bag
block light, block sun, cover window, darken: curtain, blinds
cover floor, soft floor, step on: rug, carpet
celebrate, birthday, party: cake, balloon, candle, gift box
keep baby, baby sleep: crib
baby sit, feed baby: high chair
baby drink, calm baby, soothe baby: baby bottle, pacifier
see far, look at bird, magnify, look at star: binoculars, telescope, magnifying glass
mail, send letter, letter: mailbox, envelope
fish, catch fish: fishing rod, net
cross river, cross over: bridge, boat
healthy, vitamin: apple, orange, banana, carrot, broccoli, salad
sweet, sugar: cake, donut, ice cream, cookie, chocolate, candy, fruit
sour: lemon
cold eat, lick: ice cream, popsicle
alcohol, alcoholic, toast with: beer, wine, wine glass
fragile, break easily: glass, vase, plate, wine glass
fetch stick, catch frisbee, wag tail: dog
long neck: giraffe
stripe: zebra, tiger
trunk, tusk: elephant
wool: sheep
honey: bee, jar
goal, score, goalkeeper: ball, goal
carpenter, nail: hammer, saw
tell weather, temperature, fever: thermometer
sick, medicine, cure, pain: pill, medicine bottle
sign, warn, warning: stop sign, traffic cone, warning sign
cover hole, stop leak: tape
calculate, arithmetic: calculator
print: printer
"""
