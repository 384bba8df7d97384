"""The words that the light parser knows, as plain sets and dicts.

Closed classes are complete; open ones hold the words that matter to telling nouns from the rest in
captions and in expressions that refer to things in pictures. All words are in lower case. Any word
that is in no set is taken for a noun unless its ending or place says otherwise, so names of things
need not be listed, but for a few that the comments name. Verbs are in `verbs`, plurals in
`plurals`.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Closed classes.

ARTICLES = _words("a an the")
DEMONSTRATIVES = _words("this that these those")
POSSESSIVES = _words("my your his her its our their whose")
QUANTIFIERS = _words(
    """
    all any both each either enough every few fewer half less many more most much multiple
    neither no numerous several some various
    """
)
DETERMINERS = ARTICLES | DEMONSTRATIVES | POSSESSIVES | QUANTIFIERS | {"another", "what", "which"}

PRONOUNS = _words(
    """
    i me you he him she it we us they them myself yourself himself herself itself ourselves
    yourselves themselves oneself mine yours hers ours theirs who whom whoever someone somebody
    something anyone anybody anything everyone everybody everything nobody nothing none there
    """
)
CONJUNCTIONS = _words("and or but nor & plus yet so")
SUBORDINATORS = _words(
    """
    while as when whenever where wherever because if although though unless until since whereas
    than whether once
    """
)
PREPOSITIONS = _words(
    """
    about above aboard across after against along alongside amid amidst among amongst around as
    at atop before behind below beneath beside besides between beyond by despite down during
    except excluding for from in inside into like near nearby of off on onto opposite out
    outside over past per since through throughout till to toward towards under underneath
    unlike until up upon via with within without w
    """
)
AUXILIARIES = _words(
    """
    is are was were am be been being isn't aren't wasn't weren't has have had having hasn't
    haven't do does did doesn't don't didn't can could can't cannot couldn't will would won't
    wouldn't shall should may might must let let's
    """
)

# Numbers and order.

NUMBERS: dict[str, int] = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
} | {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
    "hundred": 100,
    "thousand": 1000,
    "dozen": 12,
}
# Nouns that count what follows them: "a couple of dogs".
COUNTS: dict[str, int] = {
    "couple": 2,
    "pair": 2,
    "duo": 2,
    "trio": 3,
    "quartet": 4,
}
ORDINALS: dict[str, int] = {
    word: number
    for number, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(),
        start=1,
    )
} | {f"{n}{'th' if 4 <= n <= 20 else ['st', 'nd', 'rd'][n - 1]}": n for n in range(1, 21)}

# Looks, which detectors understand.

COLORS = _words(
    """
    red orange yellow green blue purple violet pink brown black white gray grey beige tan cream
    ivory gold golden silver bronze copper turquoise teal cyan aqua navy indigo magenta maroon
    burgundy crimson scarlet coral salmon peach lavender lilac mauve fuchsia olive lime mint
    khaki amber mustard rust charcoal blond blonde brunette ginger auburn hazel redhead reddish
    greenish bluish blueish yellowish brownish grayish greyish whitish blackish pinkish purplish
    orangish multicolored multi-colored multicoloured multi-coloured colorful colourful colored
    coloured rainbow transparent translucent clear camouflage camo
    """
)
SHADES = _words("light dark pale bright deep vivid neon pastel royal sky baby hot lime off forest")
SIZES = _words(
    """
    big large huge giant gigantic enormous massive great oversized jumbo biggest bigger larger
    largest small little tiny mini miniature petite smaller smallest littlest tall taller
    tallest high higher highest low lower lowest short shorter shortest long longer longest wide
    wider widest narrow narrower narrowest thick thicker thickest thin thinner thinnest fat
    skinny slim medium medium-sized mid-sized full-size life-size sized
    """
)
MATERIALS = _words(
    """
    wooden wood metal metallic steel stainless iron aluminum aluminium plastic glass leather
    brick stone concrete cement marble granite ceramic porcelain clay paper cardboard cotton
    denim wool woolen silk lace velvet fur furry rubber straw wicker bamboo vinyl tile tiled
    linen nylon foam knit knitted felt canvas tin brass chrome gravel asphalt sandy grassy snowy
    leafy
    """
)
PATTERNS = _words(
    """
    striped stripe checkered checked plaid polka-dot dotted spotted floral patterned plain
    flowered paisley tie-dye printed zigzag solid
    """
)

# People and animals: they act, so that the word after them is rather a verb ("a man walks").

PEOPLE = _words(
    """
    man woman person child boy girl kid baby toddler infant lady guy gentleman dude adult
    teenager teen male female human player batter pitcher catcher umpire referee coach skier
    snowboarder skateboarder skater surfer rider cyclist bicyclist biker motorcyclist driver
    pedestrian walker runner jogger swimmer dancer singer musician artist painter photographer
    chef cook baker waiter waitress bartender server worker employee farmer fisherman vendor
    seller customer shopper officer policeman policewoman cop soldier fireman firefighter guard
    sailor pilot conductor passenger traveler tourist visitor student teacher doctor nurse
    dentist patient athlete golfer fan spectator audience friend couple family mother father mom
    dad son daughter brother sister grandmother grandfather grandma grandpa bride groom husband
    wife cowboy jockey clown model actor king queen prince princess owner crowd group team
    individual businessman businesswoman hiker climber boarder kiteboarder kitesurfer windsurfer
    trainer judge cowgirl onlooker mailman lifeguard barber hairdresser carpenter mechanic
    plumber monk priest somebody someone goalie quarterback performer juggler matador cleaner
    mayor juror racer wrestler boxer youngster elder senior hitter shortstop people men women
    children
    """
)
ANIMALS = _words(
    """
    dog puppy cat kitten horse pony foal colt cow calf bull ox sheep lamb goat pig piglet
    elephant giraffe zebra bear cub panda lion tiger leopard cheetah wolf fox deer moose elk
    antelope rhino rhinoceros hippo hippopotamus monkey ape gorilla chimpanzee kangaroo koala
    camel llama alpaca donkey mule buffalo bison rabbit bunny squirrel chipmunk mouse rat
    hamster raccoon skunk otter seal walrus whale dolphin shark fish turtle tortoise frog toad
    snake lizard alligator crocodile bird duck duckling goose swan chicken hen rooster turkey
    pigeon dove seagull gull crow raven eagle hawk owl parrot parakeet penguin flamingo peacock
    ostrich heron pelican sparrow robin butterfly bee bug spider ant insect animal calico tabby
    kitty bulldog poodle retriever terrier shepherd beagle pug dachshund chihuahua labrador
    corgi husky dalmatian pooch hound
    """
)
# Where things are, as adjective or noun: "the left one", "the one on the left".
POSITIONS = _words(
    """
    left right top bottom upper lower middle center centre central front back rear far near
    close inner outer outside inside leftmost rightmost topmost bottommost uppermost lowermost
    foremost left-most right-most top-most bottom-most upper-left upper-right lower-left
    lower-right top-left top-right bottom-left bottom-right nearest closest farthest furthest
    nearer closer farther further last next other
    """
)

# Nouns that only group or measure what comes after "of": "a group of people" shows people.

GROUPS = _words(
    """
    group groups bunch bunches herd herds flock flocks pack packs pair pairs couple couples set
    sets crowd crowds row rows line lines pile piles stack stacks collection collections cluster
    clusters team teams number lot lots array assortment variety selection series trio quartet
    duo dozen dozens hundreds thousands kind kinds type types sort sorts fleet swarm school
    litter gaggle pride gang band family mix mixture handful host load loads ton tons plenty
    majority rest bit heap heaps mass range multitude gathering amount clump string batch
    """
)
# A part or a portion, which is seen as the thing itself: "a slice of pizza" shows pizza.
PORTIONS = _words(
    """
    slice slices piece pieces portion portions chunk chunks part parts half halves section
    sections strip strips sliver bite bites patch patches loaf loaves stalk stalks
    """
)
# A vessel and what it holds are both seen: "a cup of coffee".
CONTAINERS = _words(
    """
    cup cups glass glasses bottle bottles bowl bowls plate plates basket baskets box boxes bag
    bags vase vases jar jars can cans tray trays pot pots pan pans mug mugs bucket buckets
    pitcher carton crate crates tub bin dish dishes platter platters case container containers
    pack tin barrel
    """
)
# Not things to be boxed: places in the picture, the picture itself, time, manner and measure.
NOT_VISUAL = _words(
    """
    side sides top tops bottom front back rear middle center centre left right edge end ends
    corner foreground background distance view views scene photo photos photograph photographs
    picture pictures image images shot shots close closeup close-up snapshot selfie portrait
    depiction look way ways day days night nights time times morning afternoon evening dusk dawn
    moment sunset sunrise daytime nighttime year years hour hours minute minutes week season
    weather winter summer spring fall autumn direction directions place position preparation
    display use fun air motion action process midst addition order case fact reason purpose
    thing things something one ones other others self color colour colors colours size shape
    style length height width depth speed thirds work home town conversation talk rest attention
    life angle perspective area inside outside bit level aid help inch inches game match dark
    cold today tonight yesterday tomorrow each lot lots kind kinds type types sort sorts amount
    variety number half part parts
    """
)

# Nouns with the looks of a participle, which are not to be taken for one without other evidence.
ING_NOUNS = _words(
    """
    building ceiling painting wedding ring king string wing spring swing thing clothing railing
    awning frosting icing topping dressing stuffing pudding morning evening crossing landing
    opening drawing writing earring lightning bedding siding lining sling sibling duckling
    gosling dumpling darling herring pricing seasoning gelding starling plumbing rigging tubing
    flooring lighting furnishing offering filling coating covering peeling outing greeting
    meeting gathering setting viking boxing bling sterling ping serving parking
    """
)
PAST_NOUNS = _words(
    """
    bed beds shed sheds sled sleds seed seeds weed weeds feed reed reeds speed bread red shot
    shots cut cuts set sets saw saws left ground hit spread split felt wound found bit rose
    roses dove doves thought read lit hundred hundreds
    """
)

# Adjectives that are nouns where no other noun follows: "a glass", "the female", "an orange".
ADJECTIVE_NOUNS = _words(
    """
    orange wood metal steel iron plastic glass leather brick stone concrete cement marble
    granite porcelain clay paper cardboard cotton denim silk lace velvet fur rubber straw bamboo
    vinyl tile foam felt canvas tin gravel asphalt female male adult individual professional
    human giant mini square holiday special double native local elderly young twin neon olive
    lime peach mint salmon coral rainbow camouflage light front back middle center top bottom
    left right inside outside wool linen nylon brass chrome aluminum aluminium wicker stripe
    plaid antique solid teen cream gold silver bronze copper ivory amber mustard rust dark
    """
)
# An adjective and a noun that together name one thing, which the adjective does not describe.
COMPOUNDS = frozenset(
    """
    hot dog,polar bear,potted plant,stuffed animal,stuffed bear,french fry,high chair,hot tub,
    remote control,cell phone,mobile phone,baked good,soft drink,electric guitar,grizzly bear,
    black bear,brown bear,traffic light,fast food,double decker,coffee table,hot chocolate,
    flat screen,parallel bar,little league,swiss cheese,green bean,sweet potato,bell pepper,
    right field,left field,ice cream,high heel,tennis racket,great dane,german shepherd,
    golden retriever,guinea pig,white board,black board,paper towel,paper plate,paper bag,
    plastic bag,straw hat,glass door,orange juice,front door,back door,wild animal,sweat shirt,
    dark chocolate,live stock,public transport,palm tree,christmas tree,clay court,grand piano
    """.replace("\n", "")
    .replace("    ", "")
    .split(",")
)

# Common adjectives and adverbs that no ending gives away.

ADJECTIVES = (
    COLORS
    | SIZES
    | MATERIALS
    | PATTERNS
    | POSITIONS
    | _words(
        """
        flaming flashing sparkling boiling glowing charming amazing stunning exciting
        burning idle light dark pale bright deep vivid neon pastel able adorable adult alone
        ancient animated antique apparent artificial asian asleep awake aware baked bald
        bare barefoot bare-chested beautiful beloved black-and-white blank blurred blurry
        boiled bored bottled brand-new broad broken busy calm candlelit canned casual cheap
        checkered chinese chocolate-covered chubby circular classic clean clear close closed
        cloudy cluttered cold colored colorful common complete completed complex concerned
        contented cool covered cozy cracked crazy crisp crispy crooked crowded curious curly
        curved cute damp dead delicious dense deserted different digital dim dirty distant
        domestic double double-decker dressed dried drunk dry dual dull dusty eager early
        elderly electric electrical electronic elegant empty entire equal european evil
        exotic expensive extra faded fake familiar famous fancy fashioned fast fat favorite
        female few fierce filled final fine firm flat floppy fluffy foggy foreign formal
        former fragile frail free french fresh fried friendly frosted frozen full fun funky
        funny furry fuzzy garnished general gentle german giant glazed glossy good gorgeous
        grand grassy greasy great green grilled gross grown half-eaten handsome handheld
        happy hard healthy heavy hilly historic holiday homemade hot huge human hungry icy
        identical indian indoor industrial intense interesting italian japanese juicy junky
        key korean lazy leafy lean leashed less likely lined lit lively live local lone
        lonely loose loud lovely low lush mad main male married massive mature mechanical
        medium melted messy metal mexican military miniature misty mixed modern moist muddy
        multiple mutual naked narrow nasty native natural naval neat necessary new nice
        noisy nude odd old old-fashioned older oldest open orderly ordinary organic original
        ornate outdoor oval overcast own painted parallel parked past peaceful perfect
        personal plain pleasant plush polar polite poor popular portable posh precious
        pretty private professional proper proud public quaint quick quiet rainy random rare
        raw ready real rectangular red-haired regular rich ripe roasted rocky romantic rough
        round royal rugged rural rusty sad safe same scared scary scenic scruffy second
        separate serious shady shaggy shallow sharp shiny shirtless short sick silly similar
        simple single skilled sleepy sliced sloppy slow small smart smooth snow-covered
        snowy soft solid sour spare special specialty spiral square stale steaming steep
        sticky stiff still strange strong stuffed stylish successful sunlit sunny super
        suspicious sweet tame tasty teenage thirsty tidy tied tight tired toasted top topped
        topless total tough traditional tropical true twin typical ugly uncooked unfinished
        unique unknown unmade unusual upright upset upside-down urban used useful usual
        vacant vast vegan vegetarian vertical victorian vintage visible warm weird
        well-dressed well-lit wet whole wide wild windy wintry wise wonderful worn wrong
        young younger youngest yummy american british african english horizontal diagonal
        elongated individual lower-level overhead aerial automatic best better worse worst
        prettiest newest brightest darkest lightest darker lighter brighter heavier heaviest
        faster fastest such certain particular only grown-up built-in remote-controlled
        motorized ready-made uneven unhappy medical unaware
        """
    )
)
ADVERBS = _words(
    """
    about again ago ahead almost alone along already also altogether always apart around as away
    back backward backwards besides closely down downhill downward enough even ever everywhere
    far fast forward forwards from here high how however indeed indoors inside instead just
    later low maybe merely mid mostly much near nearby nearly never next not now off often on
    once only out outdoors outside over overhead past perhaps pretty quite rather really right
    sideways so somehow sometimes somewhat somewhere soon still straight then there thereby thus
    together too twice under underneath up upside upstairs downstairs upwards uphill usually
    very well while why yet upright asleep close else halfway midair mid-air
    """
)
# Adverbs before an adjective that belong to the phrase: "a very large dog".
DEGREES = _words(
    """
    very really quite too so rather pretty extremely fairly highly slightly somewhat more most
    less least well partially fully freshly almost nearly half newly neatly brightly heavily
    partly only beautifully nicely about around over just dimly lightly
    """
)
# Words in -ly that are no adverbs.
LY_NOT_ADVERBS = _words(
    """
    family fly butterfly dragonfly belly jelly bully lily holly trolley assembly italy early
    friendly lovely elderly lonely lively silly ugly curly daily wooly woolly hilly chilly
    wobbly likely homely orderly smelly jolly bubbly cuddly deadly heavenly scholarly wrinkly
    crumbly prickly frilly bristly supply reply rely ally july only gnarly burly melancholy
    monopoly firefly housefly gully dolly folly tally rally
    """
)
# Gerunds that make compounds, with the nouns that follow them: elsewhere they are verbs.
GERUNDS: dict[str, frozenset[str]] = {
    "baking": _words("sheet pan dish tray soda"),
    "batting": _words("helmet cage glove box practice stance"),
    "bowling": _words("alley ball pin lane"),
    "changing": _words("table room station"),
    "climbing": _words("wall gym rope frame gear"),
    "cleaning": _words("product supply solution cart lady rag"),
    "cooking": _words("pot pan utensil oil stove area class surface range show"),
    "cutting": _words("board mat tool block"),
    "dining": _words("room table area set chair hall car"),
    "diving": _words("board suit"),
    "dressing": _words("room table gown"),
    "drinking": _words("fountain glass straw water cup"),
    "driving": _words("range glove"),
    "eating": _words("area utensil establishment"),
    "filing": _words("cabinet"),
    "fishing": _words("boat pole rod net line pier vessel gear"),
    "flying": _words("saucer disc fish"),
    "frying": _words("pan"),
    "hiking": _words("trail boot pole path gear"),
    "ironing": _words("board"),
    "landing": _words("gear strip pad"),
    "living": _words("room area space quarters thing"),
    "loading": _words("dock zone area ramp"),
    "measuring": _words("cup tape spoon"),
    "mixing": _words("bowl"),
    "operating": _words("room table"),
    "parking": _words(
        """
        lot meter garage space spot ticket machine area sign structure deck zone station
        attendant
        """
    ),
    "playing": _words("field card ground area"),
    "racing": _words("car bike track motorcycle horse bicycle suit"),
    "reading": _words("glasses light room lamp"),
    "recycling": _words("bin truck can container"),
    "riding": _words("gear boot helmet lesson ring crop"),
    "rocking": _words("chair horse"),
    "rolling": _words("pin hill suitcase chair"),
    "running": _words("shoe water track board"),
    "seating": _words("area"),
    "serving": _words("dish tray spoon platter bowl line table cart plate utensil"),
    "sewing": _words("machine kit"),
    "shopping": _words("cart bag center mall basket area district"),
    "sitting": _words("room area"),
    "skating": _words("rink park ramp area"),
    "skiing": _words("gear slope equipment outfit trail event competition"),
    "sleeping": _words("bag quarters area"),
    "steering": _words("wheel"),
    "surfing": _words("competition board gear contest"),
    "swimming": _words("pool suit trunks trunk cap area hole"),
    "training": _words("wheel session"),
    "vending": _words("machine cart"),
    "waiting": _words("room area"),
    "walking": _words("path stick trail area cane"),
    "washing": _words("machine"),
    "watering": _words("hole can"),
    "wrapping": _words("paper"),
}
