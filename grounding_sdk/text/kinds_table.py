"""Which things are kinds of which, in general English, for `grounding_sdk.text.kinds`.

To add a word, write it where it belongs: singular, in lower case, hyphens as spaces.
"""

from __future__ import annotations

# What is indented is a kind of the line above it. Commas separate things, "=" the names of one
# thing. A thing may stand in several places, and a name may belong to several things. A compound
# that is a kind of its last word ("rocking horse" is none) needs no entry.
TREE = """
person=human=human being=individual=somebody=someone=anyone=folk=figure
    adult=grown up, senior=elder, crowd=audience, group, team, crew, couple, family, pedestrian
    passerby, everyone=everybody, persona
    man=he=him=guy=gentleman=dude=fellow=fella=male=bloke=chap=mister=sir=gent
        father=dad=daddy=papa, grandfather=grandpa, husband, groom, brother, uncle, bro, old man
        boy=lad
            schoolboy, son, young man
    woman=she=her=lady=female=gal=madam
        mother=mom=mum=mommy=mama, grandmother=grandma, wife, bride, bridesmaid, sister, aunt
        blonde, brunette, redhead, old lady
        girl=lass
            schoolgirl, daughter, young lady
    child=kid=kiddo=youngster=little one
        boy, girl, youth, schoolchild
        baby=infant=newborn, toddler, teenager=teen=adolescent, tween
    player=athlete=sportsman=sportswoman=competitor=contestant
        baseball player=ball player, opponent, teammate, racer, gymnast, wrestler, boxer, fighter
        batter=hitter=batsman, baseball pitcher=pitcher, catcher, fielder, infielder, outfielder
        shortstop, baseman, goalkeeper=goalie=keeper, quarterback, striker, footballer, golfer
        bowler, runner=jogger, sprinter, swimmer, diver, jumper, climber=mountaineer, hiker
        backpacker, rower, skier, snowboarder=boarder=snow boarder, surfer, windsurfer
        kitesurfer, kiteboarder, kayaker, paddler, skater, skateboarder=skate boarder
    rider
        jockey, horseman, horsewoman, cowboy, cowgirl, cyclist=bicyclist=biker, motorcyclist
        motorist, horse rider=equestrian
    umpire=ump, referee=ref, judge, coach=trainer, cheerleader, mascot, caddie
    cook, chef, baker, waiter, waitress, server, barista, bartender=barman, diner, eater, drinker
    guest, host, hostess, customer, shopper, client, patron, buyer, vendor, seller, salesman
    merchant, shopkeeper, clerk, cashier, owner, boss, manager, driver, chauffeur, pilot, captain
    worker=laborer=labourer=workman
        employee, staff, handyman, carpenter, mechanic, plumber, electrician, technician, builder
        engineer, welder, painter, janitor, cleaner, maid, fisherman=fisher=angler, farmer
        rancher, shepherd, herder, gardener, barber, hairdresser, mailman=postman, courier
    sailor, passenger, traveler=traveller, commuter, tourist, visitor, conductor, hunter, camper
    doctor, dentist, surgeon, nurse, patient, scientist, soldier, veteran, cadet, guard, lifeguard
    officer, police officer=policeman=policewoman=cop=police, fireman=firefighter, paramedic
    teacher, professor, instructor, student=pupil, graduate, classmate, lawyer, executive
    businessman, businesswoman, speaker, presenter, reporter, journalist, photographer=cameraman
    artist, model, actor, actress, performer, musician, guitarist, drummer, singer, dancer
    ballerina, clown, magician, dj, king, queen, prince, princess, priest, monk, nun, santa, pirate
    spectator=onlooker=bystander=viewer=watcher=observer=attendee, fan, member, leader, volunteer
    friend=buddy=pal, companion, neighbor=neighbour, partner, walker, reader, sitter, smoker

animal=creature=beast=critter
    pet
        dog, cat, rabbit, hamster, guinea pig, parrot, goldfish, cub
    mammal
        dog=doggy=doggie=hound=canine=pooch=mutt
            puppy=pup, poodle, labrador=lab, retriever, terrier, husky, beagle, pug, bulldog, boxer
            dachshund, chihuahua, corgi, dalmatian, german shepherd, collie, sheepdog, greyhound
            spaniel, doberman, rottweiler, mastiff
        cat=kitty=feline=kitty cat
            kitten, tabby, calico, siamese, tomcat
        horse=steed
            foal, colt, filly, mare, stallion, pony, bronco
        cattle=bovine
            cow, bull, steer, ox, heifer, calf, longhorn
        cow=dairy cow
            calf, heifer
        sheep
            lamb, ewe, ram
        bear
            polar bear, grizzly=grizzly bear, brown bear, black bear, bear cub
        big cat
            lion, lioness, tiger, leopard, cheetah, jaguar, panther, cougar=puma
        elephant, zebra, giraffe, goat, donkey=mule, deer, moose, elk, antelope, gazelle, impala
        wildebeest=gnu, buffalo, bison, camel, llama, alpaca, pig=hog=swine, piglet, boar
        kangaroo, koala=koala bear, wolf, coyote, fox, panda=panda bear, monkey, chimpanzee=chimp
        baboon, gorilla, ape, orangutan, rhinoceros=rhino, hippopotamus=hippo, squirrel, chipmunk
        raccoon, skunk, badger, otter, beaver, rat, rabbit=bunny, hare, hamster, hedgehog
        guinea pig, porcupine, seal, sea lion, walrus, whale, dolphin
    bird
        duck, duckling, mallard, goose, gosling, swan, pigeon, dove, seagull=gull=sea gull, turkey
        chicken, hen, rooster, chick, crow, raven, blackbird, magpie, eagle, hawk, falcon, owl
        parrot, parakeet, macaw, cockatoo, sparrow, finch, robin, cardinal, bluebird, blue jay
        penguin, flamingo, peacock, ostrich, emu, heron, egret, stork, pelican, hummingbird
        vulture, woodpecker, puffin, canary
    reptile
        snake, lizard, gecko, iguana, turtle, tortoise, crocodile, alligator
    insect=bug
        butterfly, moth, bee, wasp, ant, ladybug=ladybird, dragonfly
    fish
        goldfish, shark
    frog, toad, spider, snail, crab, lobster, jellyfish, starfish, octopus, dinosaur

vehicle=ride
    car=automobile=auto=motorcar=motor car
        sedan, hatchback, convertible, coupe, sports car, limousine=limo, minivan, station wagon
        taxi=cab=taxicab=taxi cab, police car=cop car, suv, jeep, race car=racecar, compact, beetle
    van
        minivan, delivery van, camper van
    truck=lorry
        semi=semi truck=18 wheeler=tractor trailer=big rig, pickup truck=pickup=pick up truck
        fire truck=firetruck=fire engine, dump truck, tow truck, garbage truck, food truck
    bus=autobus=omnibus
        double decker=double decker bus, minibus, shuttle, trolleybus, coach, greyhound
    bike
        bicycle=cycle=pushbike=push bike
            mountain bike, road bike, bmx, tandem, tricycle=trike, ten speed
        motorcycle=motorbike=motor bike=motor cycle
            dirt bike=dirtbike, scooter, moped, vespa, harley, chopper, minibike, sport bike
            motor scooter, crotch rocket
    scooter
        motor scooter, kick scooter
    train=choo choo
        locomotive, engine, steam engine, tram=streetcar=trolley, subway=metro, railcar=rail car
        train car, boxcar, caboose, carriage
    boat=vessel=watercraft=water craft
        ship, cruise ship, sailboat=sail boat=yacht, canoe, kayak, rowboat=row boat, dinghy, raft
        ferry, barge, tugboat=tug boat, gondola, fishing boat, houseboat, jet ski, catamaran
        motorboat=motor boat, speedboat=speed boat
    aircraft
        airplane=plane=aeroplane=air plane=aero plane
            jet, airliner=jetliner, jet plane, jumbo jet, biplane, seaplane, glider, fighter jet
            propeller plane=prop plane
        helicopter=chopper, hot air balloon, drone, blimp
    ambulance, motorhome=rv=camper, caravan, tractor, bulldozer, excavator, forklift, golf cart
    atv=quad bike=four wheeler, wagon, carriage, buggy, chariot, cart=trolley, trailer, sled, sleigh
    stroller=pram=baby carriage=pushchair, wheelchair

light
    traffic light=traffic signal=stoplight=stop light=signal light=traffic lamp, signal
    lamp=light fixture, desk lamp, lantern, chandelier
    street light=streetlight=street lamp=lamppost=lamp post
fire hydrant=hydrant=fireplug=fire plug=water hydrant
sign=signboard
    stop sign=stopsign, street sign, road sign, traffic sign, billboard, banner
parking meter=meter=parking metre
trash can=garbage can=bin=dustbin=trash bin=waste bin, mailbox=postbox=letterbox, pole=post, fence
building
    house, tower, skyscraper, barn, church, shed, hut, cabin

furniture=piece of furniture
    seat
        chair, couch, bench, stool, sofa chair
    chair
        armchair=arm chair, office chair, desk chair, rocking chair, recliner, folding chair
        lawn chair=beach chair=deck chair, high chair=highchair, lounge chair, wheely chair, throne
    couch=sofa=settee=davenport=chesterfield
        loveseat=love seat, futon, sectional, sofa bed, divan
    bench
        park bench, pew
    bed=bunk
        bunk bed, cot, crib, hospital bed, mattress, twin bed, berth
    table
        dining table=diningtable=dinner table=dining room table, kitchen table, picnic table
        coffee table, side table, end table, desk, nightstand=night stand=bedside table
        pool table, tabletop=table top
    toilet=commode=loo=lavatory=toilet bowl=potty
        urinal, toilet seat
    stool, bar stool, footstool, ottoman, cabinet=cupboard, wardrobe, closet, shelf, bookshelf
    bookcase, rack, dresser, drawer, counter=countertop=counter top, mirror

appliance
    refrigerator=fridge=icebox=refridgerator, freezer
    oven
        stove=stovetop=range=cooker=stove top, toaster oven, wall oven
    microwave=microwave oven, toaster, dishwasher, washing machine=washer, dryer, blender, mixer
    coffee maker=coffee machine, kettle, hair drier=hair dryer=hairdryer=blow dryer
    vacuum cleaner=vacuum, fan, air conditioner, heater, radiator, sewing machine
sink=basin=washbasin=wash basin=hand basin
bathtub=tub=bath tub=bath, shower, faucet=tap

electronics=electronic device=device=gadget
    screen=monitor=computer monitor=computer screen=display=tvmonitor=tv monitor=pc monitor
        tv=television=tv set=television set=telly=tv screen=television screen=flat screen tv
            flat screen=flatscreen
    computer=pc
        laptop=laptop computer=notebook computer=notebook=macbook=lap top
        desktop computer=desktop, tablet=tablet computer=ipad
    mouse=computer mouse, mousepad=mouse pad
    keyboard=computer keyboard=key board
    remote=remote control=tv remote=clicker
        controller=game controller=wii remote=wiimote=wii controller, joystick
    phone=telephone
        cell phone=cellphone=mobile phone=mobile=cellular phone=cell=mobile telephone
            smartphone=smart phone, iphone, flip phone
    camera, webcam, camcorder, speaker, radio, printer, headphones=headset, earphones, router
    microphone=mic, projector, record player, dvd player, cd player, mp3 player, ipod, game console
clock=clock face=timepiece=clockface
    wall clock, alarm clock, grandfather clock, watch=wristwatch

bag
    backpack=rucksack=knapsack=back pack=book bag=bookbag=haversack
    handbag=purse=hand bag=shoulder bag=pocketbook
        clutch, messenger bag, satchel, tote=tote bag, pouch
    luggage=baggage
        suitcase=suit case=valise=luggage bag=travel bag=piece of luggage
            carry on, briefcase, duffel bag=duffle bag, rolling bag
    shopping bag, plastic bag, paper bag, sack, wallet
umbrella
    parasol=sunshade, beach umbrella=sun umbrella, brolly

clothing=clothes=garment=apparel=outfit=attire
    shirt, t shirt=tee shirt=tshirt=tee, blouse, polo, jersey, top=tank top, sweater=jumper
    sweatshirt, hoodie, cardigan, pullover, vest, jacket, coat, blazer, raincoat, suit, tuxedo
    uniform, costume, robe, pants=trousers, jeans, shorts, leggings, dress, gown, skirt, swimsuit
    bikini, swim trunks, wetsuit=wet suit, underwear, apron, scarf, belt, glove=mitten
    tie=necktie=neck tie
        bow tie=bowtie
    footwear
        shoe, sneaker, high heel, boot, sandal, flip flop, slipper, sock
    headwear
        hat, cap=baseball cap, beanie, cowboy hat, helmet=hard hat
    eyeglasses=glasses=spectacles=eye glasses, sunglasses=shades, goggles
jewelry=jewellery
    necklace, ring, bracelet, earring

sports equipment=sporting goods
    frisbee=flying disc=disc=disk=flying disk, net, kite, hockey stick, golf club, paddle=oar
    skis=ski=snow ski=pair of skis, ski pole=ski stick
    board
        snowboard=snow board
        skateboard=skate board
            longboard
        surfboard=surf board
            boogie board=bodyboard=body board, paddleboard=paddle board
    ball=sports ball
        soccer ball=football, baseball, softball, basketball, tennis ball, volleyball, beach ball
        golf ball, bowling ball, cricket ball, rugby ball
    baseball bat=bat
    baseball glove=baseball mitt=mitt=catcher mitt=catchers mitt=catcher's mitt=glove
    racket=racquet
        tennis racket=tennis racquet, badminton racket

toy
    stuffed animal=stuffed toy=plush=plush toy=soft toy=plushie
        teddy bear=teddy=stuffed bear=toy bear=teddybear=teddie
    doll, barbie, toy car, lego, balloon, puzzle, snowman, rocking horse

tableware=dishware=crockery
    glass=glasses=drinking glass
        cup, beer glass, tumbler, shot glass, goblet, pint glass, water glass
        wine glass=wineglass=wine goblet
            champagne glass=champagne flute=flute
    cup
        mug=coffee mug, teacup=tea cup, coffee cup, paper cup, plastic cup, tumbler
    container
        bottle, can=tin, jar, jug=pitcher, vase, bowl, cup, box, bucket=pail, basket, pot, barrel
        flower pot=flowerpot, thermos=flask, carton, tray
    bottle
        water bottle, wine bottle, beer bottle, spray bottle, flask
    vase=flower vase
        urn
    dish
        bowl, plate, platter, saucer
    bowl
        soup bowl, salad bowl, mixing bowl, dog bowl
    cutlery=silverware=flatware=utensil=eating utensil
        fork, spatula, whisk, tongs, chopsticks=chopstick
        knife
            butter knife, steak knife, kitchen knife, table knife, pocket knife, cleaver, dagger
        spoon
            teaspoon, tablespoon, ladle, soup spoon, wooden spoon
    pan=frying pan, saucepan, teapot, kettle, napkin, tablecloth, cutting board, paper towel

tool
    scissors=scissor=pair of scissors=shears, hammer, screwdriver, wrench=spanner, pliers, drill
    saw, shovel, broom, mop, ladder, axe
book
    novel, textbook=text book, paperback, hardcover, bible, cookbook, notebook, dictionary
magazine, newspaper, comic book=comic, pen, pencil, paper, envelope, stapler
toothbrush=tooth brush
    electric toothbrush
toothpaste, shampoo, soap, comb, hairbrush, towel, razor, toilet paper, tissue
pillow=cushion, blanket, curtain, rug=carpet, picture frame, painting, candle
musical instrument=instrument
    guitar, piano, drum, violin, trumpet, saxophone

food
    fruit=piece of fruit
        banana=nana
            plantain
        apple
            green apple, red apple, granny smith
        orange=orange slice
            tangerine, clementine, mandarin=mandarin orange
        lemon, lime, pear, peach, apricot, grape, strawberry, raspberry, blueberry, pineapple
        watermelon, melon, mango, kiwi, cherry, plum, avocado, grapefruit, tomato, coconut
    vegetable=veggie
        broccoli=brocolli=brocoli=broccolli=broccoli floret=broccoli stalk
        carrot
            baby carrot, carrot stick
        cauliflower, potato, onion, cucumber, lettuce, cabbage, pepper, corn, pea, bean, mushroom
        tomato, pumpkin, zucchini, eggplant, asparagus, radish, garlic, spinach, celery
    sandwich
        burger=hamburger, cheeseburger, sub=hoagie, panini, grilled cheese, wrap, blt, toastie
        club, bagel
    hot dog=hotdog
        chili dog, corn dog, frankfurter=wiener, bratwurst
    pizza=pizza pie=pizza slice
        calzone
    dessert
        donut=doughnut=dough nut
            cruller
        cake
            birthday cake, wedding cake, cupcake=cup cake, cheesecake, layer cake, muffin
        cookie, pie, pastry, ice cream, chocolate, croissant, pancake, waffle, brownie
    bread, toast, bun, roll, cheese, egg, meat, steak, bacon, ham, sausage, salad, soup, rice
    pasta, french fries=fries, sushi, taco, burrito, ketchup
drink=beverage
    water, juice, milk, tea, coffee, soda=pop, beer, wine

plant=vegetation
    potted plant=pottedplant=houseplant=house plant=pot plant=planter=indoor plant
        potted flower, bonsai, potted tree, potted palm
    flower
        rose, tulip, daisy, sunflower, lily, orchid, bouquet
    tree
        palm tree=palm, pine tree=pine
    bush=shrub, fern, cactus, hedge, grass
"""

# What a list of names that has nothing nearer may have put a thing under: "thing: names".
STAND_INS = """
goat: sheep
donkey: horse
bull: cow
steer: cow
ox: cow
longhorn: cow
buffalo: cow
bison: cow
hare: rabbit
cub: bear
panda: bear
motorcycle: bicycle
bicycle: motorcycle
scooter: motorcycle
atv: motorcycle
van: car, truck
suv: truck
jeep: truck
pickup truck: car
ambulance: truck, car, bus
motorhome: truck, bus
tractor: truck
trailer: truck
carriage: train
coach: bus, train
helicopter: airplane
cart: car
signal: traffic light
sign: stop sign
screen: laptop
computer: tv, keyboard
tablet: laptop, cell phone
notebook: book
magazine: book
newspaper: book
controller: remote
bag: luggage
luggage: backpack, handbag
sack: handbag, backpack
messenger bag: backpack
briefcase: handbag
stool: chair
bar stool: chair
armchair: couch
ottoman: chair, couch
couch: chair, bed
chair: couch, bench
bench: chair, couch
seat: toilet
desk: dining table
coffee table: dining table
table: desk
counter: dining table
cup: wine glass, glass, mug
mug: glass
wine glass: cup, glass
glass: bottle
jug: cup, bottle, vase
jar: cup, bottle, vase
can: cup, bottle
carton: bottle
bucket: bowl
pot: potted plant, bowl, vase
flower pot: vase, potted plant
plate: bowl
dish: bowl
pan: bowl
salad: bowl
soup: bowl
wine: wine glass, bottle
beer: cup, wine glass, bottle
coffee: cup
tea: cup
water: cup, bottle, wine glass
juice: cup, bottle, wine glass
milk: cup, bottle
soda: cup, bottle
drink: cup, bottle, wine glass
ketchup: bottle
shampoo: bottle
plant: vase
flower: potted plant, vase
fern: potted plant
stove: microwave
freezer: refrigerator
toaster oven: toaster, microwave
shelf: bookshelf
stuffed animal: teddy bear
doll: teddy bear
bear: teddy bear
sausage: hot dog
bun: sandwich, hot dog
bread: sandwich
pastry: donut, cake
bagel: donut
pie: cake, pizza
brownie: cake
lemon: orange
lime: orange
peach: apple, orange
pear: apple
grapefruit: orange
ball: baseball, soccer ball, tennis ball
paddle: tennis racket
boogie board: skateboard
board: skis
glove: baseball glove
"""
