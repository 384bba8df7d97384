"""The verbs of captions, in all their forms, which are made from the base forms.

>>> VERBS_S["carries"], VERBS_ING["sitting"], VERBS_PAST["rode"]
('carry', 'sit', 'ride')
"""

from __future__ import annotations

from collections.abc import Iterator


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _words(
    """
    accept accompany achieve add admire adjust allow appear apply approach arrange arrive ask
    assemble assist attach attack attempt attend avoid awaken bake balance bathe be become beg
    begin belong bend bite blend bloom blow board boil bounce bow break breathe bring browse
    brush build burn bury busy buy call capture care carry carve catch celebrate chase chat
    check cheer charge chew choose chop clap clean clear climb cling close clutter collect comb
    come compete compose concentrate conduct congregate connect consist consume contain continue
    converse cook cool cover cram crash crawl create cross crouch crowd crush cry curl cut dance
    decorate depict depart descend describe design detach devour dig dine dip direct discuss
    display dive divide do dock drag drain drape draw dress drink drip drive drop dry dunk dwell
    ease eat embrace emerge empty enclose engage enjoy enter entertain erect examine exercise
    exit expose extend face fade fall fasten feature feed feel fetch fight figure fill film find
    finish fish fit fix flip float flow fly focus fold follow form frame freeze fry gallop
    gather gaze get give glance glaze glide glow go grab graze greet grill grin grind grip groom
    grow guard guide hail hand hang happen harvest have head hear help herd hide hike hit hitch
    hold hop hover hug hunt huddle include indicate inspect install interact involve iron jog
    join jump keep kick kill kiss kneel knit knock know label lace lack land laugh launch lay
    lead lean leap learn leave let lick lie lift light line list listen litter load locate look
    loom lounge love lower lunge make maneuver march mark mash match measure meet melt mill
    mingle miss mix model mount move mow munch nap navigate near nestle nibble nuzzle observe
    obscure occupy offer open operate order overlook pack paddle paint park pass pat patrol
    pause peck peek peel peer perch perform pet pick pile pin pitch place plan plant play plow
    point poke polish pose position pour practice preen prepare present preserve press equip
    pretend produce project protect provide protrude pull pump punch purchase pursue push put
    race raise reach read ready receive recline reflect refuel relax release remain remove
    repair rest retrieve return reveal ride ring rip rise roam roast roll row rub run rush sail
    say scatter score scratch scrub seat see seem select sell send separate serve set sew shade
    shake share shave shine shoot shop shovel show shower sift signal sip sit skate skateboard
    ski skid skip slam sled sleep slice slide slip smell smile smoke snack sniff snow snowboard
    soak soar socialize sort spend spill spin splash split sport spot spray spread sprawl
    sprinkle squat squeeze stack stage stand stare start stay steam steer step stick stir stoop
    stop store straddle strain strap stretch stride strike strip stroll struggle study stuff
    stuck suck suggest sunbathe support surf surround suspend swallow sweep swim swing swoop
    take talk tan taste taxi teach team tear tell tend test text think throw tie tilt toast top
    toss touch tour tow trail train transport travel trim trot treat try tuck turn twist type
    unload use view visit wade wag wait wake walk wander want warm wash watch water wave wear
    weave wheel whip wield win wind wipe wiggle work wrap wrestle write yawn yell zip zoom
    advertise affix align anticipate bark bask blanket block bundle cascade coat color colour
    combine complete construct converge cultivate dangle demonstrate drizzle dust eye fence
    flank garnish glimpse grasp grate hurl inform intertwine jut juggle knot lap ladle lock loaf
    lug marinate mirror nail nurse outline overflow pilot pluck poach post preform print propel
    prop putt rein resemble ripen rummage saddle sample scoop screen season secure shear shelter
    shift signify situate skim snuggle spoon stain steal strew swat swarm tackle tag tangle tape
    tether thaw track tricycle trick trickle truck utilize vacuum volley warn weigh whisk
    windsurf parasail kitesurf wakeboard sprout stem stroke sun tidy toddle trek unpack unwrap
    """
)
# Verbs that are more often nouns, where no article or pronoun before them decides.
NOUN_VERBS = _words(
    """
    leave watch swing wrap dip treat steer lift lounge set board brush call care chat clutter
    coat color colour comb cook cover crash crowd cut dance design display dock drain dress
    drink dust exercise exit eye face fence figure film fish flank float fly focus form frame
    garnish glaze grill guard guide hail hand harvest head herd hike hop iron label lace lap
    land light line list litter lock march mark match measure mill mirror mix model mount nail
    nurse outline overflow pack paddle paint park pass patrol pet pile pilot pin pitch place
    plan plant plow point polish post poach pump race rein ring rise roast roll row rub run rush
    saddle sail sample score screen season seat shade share shelter shop shovel show shower
    signal skate skateboard ski slice slip smile smoke snack snow snowboard split spoon sport
    spot spray spread sprout stack stage stain stem step stick store strap strip stroke study
    sun support surf swarm tackle tag tangle tape taxi team test text tie toast top toss tour
    tow track trail train transport trek trick tricycle trim truck type vacuum view volley wash
    water wave wheel whip wind work zip block blanket bundle bow cross curl kick kiss kneel lead
    load feature serve slide sled shoot start surround fold bark bend bite drop
    """
)
_IRREGULAR_PAST: dict[str, str] = {
    "be": "was were been",
    "become": "became become",
    "begin": "began begun",
    "bend": "bent",
    "bite": "bit bitten",
    "blow": "blew blown",
    "break": "broke broken",
    "bring": "brought",
    "build": "built",
    "burn": "burnt burned",
    "buy": "bought",
    "catch": "caught",
    "choose": "chose chosen",
    "cling": "clung",
    "come": "came come",
    "cut": "cut",
    "dig": "dug",
    "dive": "dove dived",
    "do": "did done",
    "draw": "drew drawn",
    "drink": "drank drunk",
    "drive": "drove driven",
    "eat": "ate eaten",
    "fall": "fell fallen",
    "feed": "fed",
    "feel": "felt",
    "fight": "fought",
    "find": "found",
    "fit": "fit fitted",
    "fly": "flew flown",
    "freeze": "froze frozen",
    "get": "got gotten",
    "give": "gave given",
    "go": "went gone",
    "grow": "grew grown",
    "hang": "hung hanged",
    "have": "had",
    "hear": "heard",
    "hide": "hid hidden",
    "hit": "hit",
    "hold": "held",
    "keep": "kept",
    "kneel": "knelt kneeled",
    "knit": "knit knitted",
    "know": "knew known",
    "lay": "laid layed",
    "lead": "led",
    "load": "loaded laden",
    "leap": "leapt leaped",
    "leave": "left",
    "let": "let",
    "lie": "lay lain lied",
    "light": "lit lighted",
    "lean": "leant leaned",
    "make": "made",
    "meet": "met",
    "mow": "mowed mown",
    "overlook": "overlooked",
    "put": "put",
    "read": "read",
    "ride": "rode ridden",
    "ring": "rang rung",
    "rise": "rose risen",
    "run": "ran run",
    "say": "said",
    "see": "saw seen",
    "sell": "sold",
    "send": "sent",
    "set": "set",
    "sew": "sewed sewn",
    "shake": "shook shaken",
    "shear": "sheared shorn",
    "shine": "shone shined",
    "shoot": "shot",
    "show": "showed shown",
    "sit": "sat",
    "sleep": "slept",
    "slide": "slid",
    "spend": "spent",
    "spin": "spun",
    "split": "split",
    "spread": "spread",
    "stand": "stood",
    "steal": "stole stolen",
    "stick": "stuck",
    "strew": "strewn strewed",
    "stride": "strode",
    "strike": "struck",
    "sweep": "swept",
    "swim": "swam swum",
    "swing": "swung",
    "take": "took taken",
    "teach": "taught",
    "tear": "tore torn",
    "tell": "told",
    "think": "thought",
    "throw": "threw thrown",
    "wake": "woke woken",
    "wear": "wore worn",
    "weave": "wove woven",
    "win": "won",
    "wind": "wound",
    "write": "wrote written",
}
_DOUBLING = _words("begin unzip refer prefer occur forget admit propel kidnap unwrap equip format")
_DOUBLING_IN_BRITAIN = _words("travel label shovel model paddle signal")


def _doubles(verb: str) -> bool:
    """Whether the last letter doubles before -ing and -ed: sit, sitting."""
    if verb in _DOUBLING:
        return True
    head, last = verb[:-2].replace("qu", "q"), verb[-1]
    one_vowel = verb[-2] in "aeiou" and not any(c in "aeiouy" for c in head)
    return one_vowel and last not in "aeiouwxy"


def _third_person(verb: str) -> str:
    if verb.endswith(("s", "x", "z", "ch", "sh")) or verb in ("go", "do"):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeou":
        return verb[:-1] + "ies"
    return verb + "s"


def _ing(verb: str) -> Iterator[str]:
    if verb.endswith("ie"):
        yield verb[:-2] + "ying"
    elif verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")) and verb != "be":
        yield verb[:-1] + "ing"
    else:
        yield verb + (verb[-1] if _doubles(verb) else "") + "ing"
    if verb in _DOUBLING_IN_BRITAIN:
        yield verb + verb[-1] + "ing"


def _past(verb: str) -> Iterator[str]:
    if verb in _IRREGULAR_PAST:
        yield from _IRREGULAR_PAST[verb].split()
    elif verb.endswith("e"):
        yield verb + "d"
    elif verb.endswith("y") and verb[-2] not in "aeou":
        yield verb[:-1] + "ied"
    else:
        yield verb + (verb[-1] if _doubles(verb) else "") + "ed"
    if verb in _DOUBLING_IN_BRITAIN:
        yield verb + verb[-1] + "ed"


# Each form and the verb that it belongs to.
VERBS_S: dict[str, str] = {_third_person(verb): verb for verb in sorted(VERBS)}  # rides -> ride
VERBS_ING: dict[str, str] = {f: verb for verb in sorted(VERBS) for f in _ing(verb)}  # riding
VERBS_PAST: dict[str, str] = {f: verb for verb in sorted(VERBS) for f in _past(verb)}  # rode
