"""Captions and expressions whose noun phrases are marked by hand, for the tests of every parser."""

from __future__ import annotations

import itertools

# Brackets show the phrases that a reader would mark, pronouns left out.
MARKED = """\
[A man] in [a red shirt] holds [two dogs]
[a dog]
[dog]
[The quick brown fox] jumps over [the lazy dog].
[Two young guys] with [shaggy hair] look at [their hands] while hanging out in [the yard].
[Several men] in [hard hats] are operating [a giant pulley system].
[A child] in [a pink dress] is climbing up [a set] of [stairs] in [an entry way].
[Someone's dog] is chewing [a shoe].
[A man] in [a blue shirt] is standing on [a ladder] cleaning [a window].
[Two men], one in [a gray shirt], one in [a black shirt], standing near [a stove].
[A boy] and [a girl] share [a hot dog].
[bread] and [butter]
[a red and white umbrella]
[A black, white and brown cow] stands in [the field].
[The man's hat] fell on [the woman's lap]
[the dogs' bowls] are empty
[James' bike] leans on [the wall]
[the girl's mother's handbag]
[A stop sign] at [the corner] of [a city street]
[a yellow fire hydrant] next to [a parking meter]
[a teddy bear], [a tennis racket] and [an ice cream cone]
[wine glasses] and [coffee cups] on [the dining table]
[A woman] rides [a horse] while [her son] watches
[People] ride [horses] on [the beach].
[The baby] plays with [blocks] and laughs
[Children] play in [the park]
[The bus] stops at [the bus stop]
[Two bus stops] on [a busy road]
[A cat] sits on [a chair] and looks at [birds]
He sees [the saw] and [the watch] on [the work bench]
[a building] with [a painting] on [its ceiling]
[A man] painting [a fence] near [a building]
[The crossing] is closed because [people] are crossing
[a smiling girl] eating [fried chicken]
[parked cars] covered in [snow]
[a snow covered mountain] behind [a tree lined street]
[sliced oranges] on [a cutting board]
[a glass] of [wine] and [a glass vase]
[an orange] and [an orange cat]
[A MAN] RIDING [A HORSE]
[three dogs], [4 cats] and [twenty five birds]
[about ten people] wait for [the train]
[half a dozen eggs] in [a carton]
[a couple] of [dogs] chase [a ball]
[both dogs] and [all the cats]
all of [the cats]
[no people] on [the empty street]
[a very large, fluffy white dog]
[freshly baked bread] is cooling on [a rack]
[the second cup] from [the left]
[the leftmost one]
[the biggest dog] in [the front row]
not [the red one]
[the cup] left of [the laptop]
[the man] on [the right]
[man] in blue holding [umbrella]
[girl] next to [the tall guy]
[left man] in [striped shirt]
[a 3-year-old girl] in [a t-shirt]
[a well-dressed man] with [a brand-new bike]
[a close-up] of [a bee]
a close up of [a bee]
There are [many different kinds] of [fruit] on [display]
it's [a dog]!
This is [a train] pulling into [a station].
She gave him [an apple]
something to sit on
[The kitchen] is clean and has [white cabinets].
[The sky] is blue and [the grass] is green.
[A bathroom] that is very dirty
[the person] who is holding [a phone]
[A dog] that looks happy
[a man] [whose hat] is red
[Two women] talk to each other.
[A group] of [people] standing around [a table] with [food]
[a bunch] of [ripe bananas] hanging from [a hook]
[A plate] topped with [a sandwich] and [french fries].
[A train] traveling down [tracks] next to [a forest].
[A skateboarder] does [a trick] on [a ramp].
[A tennis player] swings [his racquet] at [the ball].
[a baseball player] throwing [a pitch] during [a game]
[Motorcycles] parked in [a row] outside [a shop]
[A white toilet] sitting next to [a bathroom sink].
[the remote control] and [the cell phone] on [the coffee table]
[an old-fashioned clock] reads 5:30
[a café table] with [éclairs] and [jalapeños]
[A naïve señor] wearing [a piñata]
[the u.s. flag] on [a 2.5 mm screw]
[a stop sign]/[light pole]
"[a red ball]" ([the small one])
[dog]🐶[cat]
[A herd] of [zebras] grazing on [a lush green field]
[A giraffe] is eating [leaves] from [a tall tree].
[People] are flying [kites] in [the sky]
[A woman] cutting [a cake] with [a large knife].
[A man] takes [a picture] of himself in [a bathroom mirror]
[A bird] flying over [the water] with [a fish] in [its mouth]
[Large green and yellow train] at [the station]
[Various fruits] and [vegetables] for [sale] at [a market]
[the wet dog] shakes
[two surfers] riding [a big wave]
[A clock tower] rises above [the city] at [night].
[A cat] is sleeping on [top] of [a laptop].
[An elephant] sprays [water] with [its trunk]
[A bride] and [groom] cut [their wedding cake]
[The woman] in [the white dress] holds [flowers]
[a living room] with [a flat screen tv]
[A little girl] covered in [paint] sits in [front] of [a painted rainbow].
[A black dog] and [a spotted dog] are fighting.
[A man] lays on [a bench] while [his dog] sits by him.
[Two children] are laughing in [the grass].
[A woman] crouches near [three dogs] in [a field].
[Five girls] are leaping simultaneously in [a park].
[A boy] bites hard into [a treat] while he sits outside.
[The dogs] are in [the snow] in [front] of [a fence].
[A group] of [women] walk down [a street].
[Four men] on [top] of [a tall structure].
[A young female kid] stands in [front] of [a closed door].
[Two men] in [Germany] jumping over [a rail] without [shirts].
[A tan dog] runs through [the shallow water] with [a stick] in [its mouth].
[A rock climber] practices on [a rock climbing wall].
[A crowd] watches [a street performer] juggle [flaming torches].
[Two hockey players] fight for [the puck].
[A chef] in [a white hat] chops [onions] on [a wooden counter].
[A man] wearing [glasses] reads [the newspaper] on [the subway].
[The referee] blows [his whistle].
[A waiter] carries [a tray] of [drinks] to [a table].
[The cyclist] in [the yellow jersey] leads [the pack].
[A lone tree] stands on [a hill].
[A sign] reads "[no parking]"
[Several boats] are docked in [the harbor].
[A mother] feeds [her baby] with [a spoon].
[A motorcyclist] leans into [a turn].
[A surfer] falls off [his board].
[Kids] splash in [the pool].
[An old woman] sells [fruit] at [an outdoor market].
[A dog] catches [a frisbee] in mid-air.
[The girl] wears [a green backpack] and [pink boots].
[A boy] kicks [a soccer ball] into [the net].
[A man] with [a long beard] plays [the guitar].
[A worker] in [an orange vest] digs [a hole].
[A police officer] directs [traffic].
[A couple] kisses under [an umbrella] in [the rain].
[The horse] jumps over [a fence] while [the rider] holds on.
[A bowl] of [soup], [a spoon] and [a napkin] on [a placemat]
[an airplane] taking off from [the runway]
[clouds] above [a mountain range]
[a pile] of [dirty dishes] in [the kitchen sink]
[the tallest giraffe] on [the left]
[third man] from [right]
[woman] with [sunglasses] on [her head]
[the kid] wearing [a helmet] closest to [the camera]
[bigger slice] of [pizza]
[the chair] between [the desk] and [the bed]
[the zebra] [whose back] is turned
[guy] with [hand] up
[white car] behind [bus]
the smaller of [the two boats]
[front bike]
[the elephant] in [back]
[the lady] not wearing [a hat]
[broccoli] on [top] of [the rice]
[umbrella] that is open
[a computer mouse] and [a mouse pad]
[a shower curtain], [a toilet brush] and [a trash can]
[a fire truck] with [its lights] on
[a salt shaker] and [a pepper grinder]
[an electric kettle] plugged into [the wall socket]
[a baseball bat] leaning against [the dugout]
[traffic lights] hanging over [an intersection]
[a road sign] pointing to [the airport]
[an armchair], [a sofa], [two lamps] and [a rug]
[a bird feeder] full of [seeds]
[the back wheel] of [a bicycle]
[the dog's tail] is wagging
[the top shelf] of [the refrigerator]
[an open book] lying on [the floor]
[a broken window] in [an abandoned building]
[a woman's black leather purse]
[some freshly cut flowers] in [a blue and white porcelain vase]
[a stack] of [three pancakes] with [maple syrup]
[grilled salmon] with [lemon slices] and [roasted potatoes]
[a birthday cake] with [lit candles]
[Workers] repair [the road] near [an excavator].
[Ducks] swim across [the pond].
[Tourists] take [photos] of [the Eiffel Tower].
[The player] in white serves [the ball].
[A toddler] tries to climb [the stairs].
[A man] is getting [his hair] cut
[A person] on [skis] going down [a steep slope]
[A girl] brushing [her teeth] with [an electric toothbrush]
[The plane] is flying low over [the beach]
[Cars] drive along [the wet road] at [night]
The two of them share [a milkshake]
[Bananas], [apples], and [oranges] are stacked neatly
[A brown leather couch] sits across from [a fireplace]
[the cooking pot] on [the stove]
[A pizza cutter] cutting [a large pepperoni pizza]
[A bull] charges at [a matador] waving [a cape]
[The bench] is made of [wood] and [metal]
[Snow] covers [the cars] and [roofs]
[A bee] lands on [a purple flower]
[a passenger train] passes through [the countryside]
[The little boy's shoes] are untied
[the mirror] reflects [the bed] and [the window]
[the nearest glass] standing on [the table] at [the top right]
[the bus] farther back
[an orange] sits next to [a glass] filled with [juice]
[A woman] in [a bathroom] blow drying [her hair]
[A man] with [his head] turned sitting down.
[A dog] sitting in [a pile] of [bedding] and [other stuff].
[A boy] wearing [a red hoodie] pets [a goat] at [a farm].
[Three kids] build [a sandcastle] near [the shore].
[A bearded man] pours [beer] into [a tall glass].
[Sheep] graze beside [an old stone wall].
[A woman] pushes [a stroller] past [a shop window].
[The cat's whiskers] are white
[a slice] of [chocolate cake] with [a fork] stuck in it
[An ambulance] and [two police cars] block [the street].
[A helicopter] hovers over [a burning house].
[a row] of [colorful houses] along [a canal]
[The conductor] checks [tickets] on [the train].
Someone is pouring [syrup] on [waffles].
[two people] sharing [one umbrella]
[The tall building] behind [the bridge] has [many windows].
[the person] second from [the right]
[the man] with [his back] to us
[the red book] lying under [the green one]
the largest of [the three bowls]
[girl] eating [cake]
[a zebra] crossing [a stream]
[the kid] in [the striped pajamas] hugging [a stuffed rabbit]
[A man] jumps [his skateboard] off [a ledge].
[A young couple] feed each other [wedding cake].
[A plate] holds [scrambled eggs], [bacon], [toast] and [hash browns].
[The monkey] hangs from [a branch] by [its tail].
[An antique car] drives down [a dirt road].
[Commuters] wait on [a crowded platform].
[A chandelier] hangs above [the dining room table].
[A farmer] milks [a brown cow] in [the barn].
[A lifeguard tower] overlooks [the empty beach].
[A toddler's drawing] is taped to [the fridge door].
[A jockey] in [yellow silks] rides [a dark horse].
[The snowman] wears [a scarf] and [a top hat].
[Graffiti] covers [the side] of [a subway car].
[A wooden bowl] filled with [ripe tomatoes] sits on [the countertop].
[Two swans] glide across [a calm lake] at [sunrise].
[an apple], [a banana], and [a bunch] of [grapes]
[A pigeon] eats [crumbs] off [the sidewalk].
[a pair] of [running shoes] hanging from [a power line]
[A soldier] salutes [the flag].
[A goalkeeper] dives to stop [the ball].
[The chef] is slicing [a cucumber] with [a sharp knife].
[Rows] of [vines] stretch toward [the hills].
[A barefoot boy] climbs [a coconut tree].
[a stainless steel sink] full of [unwashed pots]
[a laptop] displaying [a map], [a pen] and [some papers]
[The girl's hair] is tied in [a ponytail]
[a mug] that says "[best dad]"
[A woman] ties [her shoe] while [a friend] waits.
[Candles] light [the small room].
""".splitlines()


def unmark(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """Takes the brackets off: the text, and the spans that they enclosed."""
    pieces = marked.replace("]", "[").split("[")
    ends = list(itertools.accumulate(map(len, pieces)))
    return "".join(pieces), list(itertools.pairwise(ends))[::2]
