"""Everyday nouns, verbs, colours and places, as far as captions of everyday photos need them.

One line per thing: its name, then other names for the same thing or for kinds of it, then flags.

Flags: ``mass`` takes no article; ``pair`` is a plural thing (skis, jeans); ``common`` is so often in the background \
that
captions leave it out, so its absence from captions says nothing; ``det`` counts as a noun only after a determiner or an
adjective, because the word is a verb as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PERSON, ANIMAL, VEHICLE, FOOD, CLOTHING, GEAR, OBJECT, PLACE, NATURE = (
    "person",
    "animal",
    "vehicle",
    "food",
    "clothing",
    "gear",
    "object",
    "place",
    "nature",
)

_TABLES: dict[str, str] = {
    PERSON: """
man: guy, gentleman, businessman, policeman, fireman, cowboy, groom, father, dad, grandfather
woman: lady, mother, mom, bride, grandmother, ballerina, businesswoman, cheerleader
boy
girl
child: kid, toddler, youngster, schoolchild
baby: infant, newborn
person: individual, adult, teenager, teen, player, rider, biker, cyclist, bicyclist, motorcyclist, skier, \
snowboarder, surfer, skateboarder, skater, climber, hiker, runner, swimmer, dancer, musician, worker, officer, \
driver, performer, athlete, batter, catcher, pitcher, goalie, wrestler, boxer, kayaker, photographer, friend, \
tourist, pedestrian, shopper, student, soldier, clown, vendor, chef, guitarist, singer, referee, umpire, jockey, \
rollerblader, racer, boarder, wakeboarder, fisherman, someone, somebody, human, parent, couple, family, team, crowd, \
spectator, onlooker, firefighter, basketball player, football player, soccer player, tennis player, baseball player, \
hockey player, rugby player, rock climber, mountain biker, bike rider, dirt biker, scuba diver, diver, santa, \
passenger, fan, owner, skydiver, paddler, farmer, artist, painter, waiter, customer, cook, doctor, nurse, worker, \
guard
""",
    ANIMAL: """
dog: puppy, pup, doggy, poodle, greyhound, terrier, german shepherd, collie, border collie, doberman, pitbull, pit \
bull, dalmatian, labrador, labrador retriever, golden retriever, retriever, beagle, husky, chihuahua, bulldog, \
dachshund, pug, rottweiler, corgi, spaniel, sheepdog, black lab, yellow lab, lab, boston terrier, hound, boxer dog, \
sled dog
cat: kitten, kitty
horse: pony, foal, stallion, colt
cow: calf, cattle, bull, ox, longhorn
sheep: lamb, ewe
goat
elephant
giraffe
zebra
bear: polar bear, brown bear, grizzly bear, black bear, grizzly, panda
lion
tiger
deer: elk, moose, antelope
monkey: ape, gorilla
camel
kangaroo
rabbit: bunny
squirrel
pig: hog, piglet
bird: parrot, pigeon, crow, owl, eagle, hawk, dove, robin, finch, sparrow, flamingo, ostrich, peacock, pelican, \
hummingbird, heron, stork, crane bird, rooster, hen, penguin
duck: duckling
goose
swan
seagull: gull
turtle: tortoise
snake
frog
dolphin
whale
shark
butterfly
""",
    VEHICLE: """
car: sedan, taxi, cab, race car, sports car, suv, convertible, police car, minivan, racecar, automobile
truck: pickup truck, pickup, fire truck, dump truck, semi, tow truck, firetruck, food truck
van
jeep
bus: double decker bus, double-decker bus, school bus, trolley, double decker
train: locomotive, subway train, steam engine, tram, passenger train, freight train
airplane: plane, jet, aircraft, biplane, fighter jet, aeroplane, jetliner, airliner
helicopter
boat: sailboat, canoe, kayak, rowboat, raft, speedboat, motorboat, gondola, yacht, ferry, fishing boat, houseboat
ship
bicycle: bike, mountain bike, bmx bike, tandem bicycle, tandem bike
motorcycle: motorbike, dirt bike, dirtbike, moped, motor bike, motocross bike
scooter: motor scooter
tricycle
tractor
atv: quad, four wheeler, four-wheeler
sled: sledge, toboggan
wagon
carriage
snowmobile
stroller: baby carriage
wheelchair
unicycle
""",
    FOOD: """
pizza
cake: birthday cake, cupcake, cheesecake, wedding cake
sandwich: sub, panini, burger, hamburger, cheeseburger
hot dog: hotdog
donut: doughnut
broccoli: mass
carrot
banana
apple
salad
soup
bread: mass
rice: mass
pasta: mass, spaghetti, noodle
cheese: mass
ice cream: mass, ice cream cone, icecream
meat: mass, steak, beef
egg
cookie
strawberry
grape
lemon
tomato
potato: french fry, fry
lettuce: mass
popcorn: mass
corn: mass
pie
coffee: mass
beer: mass
wine: mass
fruit: mass
vegetable: veggie
""",
    CLOTHING: """
hat: cap, baseball cap, cowboy hat, beanie, straw hat, santa hat, top hat
helmet: bike helmet, football helmet, hard hat
shirt: t-shirt, tshirt, tee shirt, polo shirt, dress shirt, common
jacket: coat, parka, vest, blazer, common
sweater: sweatshirt, hoodie, common
dress: gown, det
skirt: tutu, common
shorts: pair, common
pants: jeans, trousers, pair, common
suit: business suit, det, common
tie: necktie, det
bikini
swimsuit: bathing suit, swimming suit, swim trunks, common
wetsuit: wet suit
uniform: common
jersey: common
costume
scarf: common
sunglasses: pair, goggles, sun glasses, common
glasses: pair, eyeglasses, common
shoes: pair, boots, sneakers, sandals, common
gloves: pair, common
life jacket: life vest, lifejacket, common
mask
collar: dog collar, common
backpack: back pack, common
headphones: pair, common
apron
""",
    GEAR: """
ball: soccer ball, tennis ball, basketball ball, beach ball, volleyball ball, baseball ball, football ball
frisbee: frisbie, disc, flying disc
skateboard: skate board
snowboard: snow board
surfboard: surf board, boogie board, bodyboard, boogieboard
skis: pair, ski
racket: tennis racket, tennis racquet, racquet
bat: baseball bat, baseball bats
kite: det
guitar: electric guitar, acoustic guitar
violin
drum
piano
microphone
trampoline
swing: swing set, swingset, tire swing, det
slide: water slide, waterslide, playground slide, det
hula hoop
ramp: skateboard ramp, skate ramp
hurdle
net: common, soccer net, tennis net
goal: soccer goal, det, common
trophy
balloon
paddle: common, oar, det
fishing pole: fishing rod
inner tube: innertube
parachute
tent
hammock
leash: common
""",
    OBJECT: """
umbrella: parasol
bench: park bench
table: picnic table, dining table, coffee table, common
chair: lawn chair, armchair, beach chair, common
couch: sofa, loveseat
bed: bunk bed
desk
toilet: urinal
sink: kitchen sink, bathroom sink
bathtub: bath tub, tub
shower: det
refrigerator: fridge
oven: stove
microwave: microwave oven
laptop: laptop computer
computer: desktop computer, computer monitor, monitor
keyboard: common
television: tv, television set, tv set, flat screen tv
phone: cellphone, cell phone, mobile phone, telephone, smartphone, smart phone, iphone, common
remote: remote control, game controller, wii controller, wii remote, controller, common
camera: video camera, common
clock
vase: flower vase
book: common
newspaper: common
magazine: common
bottle: water bottle, beer bottle, wine bottle, common
cup: mug, coffee cup, common
wine glass: common
bowl: common
plate: common
fork: common
knife: common
spoon: common
teddy bear: teddy
toy: common, det
stick: tree branch, common
rope: common
bag: purse, handbag, shopping bag, common
suitcase: luggage, briefcase
basket: common
box: common
bucket: common
flag: common
fountain: water fountain
statue: sculpture
fire hydrant: hydrant
traffic light: stoplight, stop light, traffic signal
stop sign
parking meter
street sign: common
clock tower
tower: common
ladder
scissors: pair
mirror: common
lamp: common
candle: common
flower: rose, bouquet, tulip, sunflower, common
bubble: bubbles
fire: mass, campfire, bonfire, det
shopping cart
toothbrush
cigarette
sword
gun: rifle
painting: det, common
pillow: common
blanket: common
towel: common
bridge: det
tunnel
fence: common
railing: rail, handrail, common
stairs: pair, staircase, step, common
wall: common
window: common
door: common
building: house, common
church
barn
waterfall
log: common
tree: palm tree, pine tree, christmas tree, common
grass: mass, common
bush: common
leaf: common
rock: boulder, stone, common
puddle: common
""",
    NATURE: """
snow: mass
sand: mass, common
water: mass, common
mud: mass, common
wave: det, common
mountain: common
hill: det, common
sky: common
ice: mass, common
""",
}

_PLACES = """
beach: out, seashore, seaside, sandy beach
ocean: out, sea, surf
lake: out, pond
river: out, stream, creek
pool: swimming pool, swimming-pool
field: out, grassy field, meadow, pasture, baseball field, soccer field, football field
park: out
street: out, road, city street, highway
sidewalk: out
forest: out, woods, wood
desert: out
mountain: out, mountainside, mountain side, mountaintop
slope: out, ski slope, ski hill
yard: out, backyard, lawn, back yard, front yard
parking lot: out
playground: out
tennis court: out
basketball court
track: out, race track, racetrack, dirt track
skate park: out, skatepark, skateboard park
garden: out
zoo: out
airport
train station: subway station
runway: out, tarmac
kitchen: in
bathroom: in, restroom
bedroom: in
living room: in
dining room: in
office: in
restaurant: in, cafe, diner
gym: in
store: in, shop, supermarket, grocery store
hallway: in
stage: in
snow: out, mass
water: mass
grass: out, mass
sand: out, mass
dirt: out, mass
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One thing that captions name. ``names`` holds all singular names, ``name`` first."""

    name: str
    names: tuple[str, ...]
    kind: str
    mass: bool = False
    pair: bool = False
    common: bool = False
    needs_determiner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceWord:
    """Somewhere that a picture is taken at; ``outdoor`` None where it may be either."""

    name: str
    names: tuple[str, ...]
    outdoor: bool | None
    mass: bool


def _lines(table: str) -> list[tuple[str, list[str]]]:
    found = []
    for line in table.strip().splitlines():
        name, _, rest = line.partition(":")
        found.append((name.strip(), [word for item in rest.split(",") if (word := item.strip())]))
    return found


def _things() -> dict[str, Thing]:
    flags = {"mass", "pair", "common", "det"}
    things = {}
    for kind, table in _TABLES.items():
        for name, rest in _lines(table):
            things[name] = Thing(
                name=name,
                names=(name, *(word for word in rest if word not in flags)),
                kind=kind,
                mass="mass" in rest,
                pair="pair" in rest,
                common="common" in rest,
                needs_determiner="det" in rest,
            )
    return things


def _places() -> dict[str, PlaceWord]:
    places = {}
    for name, rest in _lines(_PLACES):
        outdoor = True if "out" in rest else False if "in" in rest else None
        names = tuple(word for word in rest if word not in {"out", "in", "mass"})
        places[name] = PlaceWord(name=name, names=(name, *names), outdoor=outdoor, mass="mass" in rest)
    return places


THINGS: Mapping[str, Thing] = MappingProxyType(_things())
PLACES: Mapping[str, PlaceWord] = MappingProxyType(_places())

_IRREGULAR = {
    "man": "men",
    "woman": "women",
    "child": "children",
    "schoolchild": "schoolchildren",
    "person": "people",
    "policeman": "policemen",
    "fireman": "firemen",
    "businessman": "businessmen",
    "gentleman": "gentlemen",
    "fisherman": "fishermen",
    "sheep": "sheep",
    "deer": "deer",
    "cattle": "cattle",
    "goose": "geese",
    "calf": "calves",
    "knife": "knives",
    "leaf": "leaves",
    "scarf": "scarves",
    "loaf": "loaves",
    "ox": "oxen",
    "aircraft": "aircraft",
    "luggage": "luggage",
    "potato": "potatoes",
    "tomato": "tomatoes",
}


def plural(name: str) -> str:
    """Plural of a noun by the usual rules; of several words the last one changes."""
    *front, last = name.split(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("man",)) and last not in {"human", "german"}:
        last = last[:-3] + "men"
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return " ".join((*front, last))


COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "black": "black",
        "white": "white",
        "red": "red",
        "blue": "blue",
        "green": "green",
        "yellow": "yellow",
        "orange": "orange",
        "brown": "brown",
        "tan": "tan",
        "beige": "tan",
        "gray": "gray",
        "grey": "gray",
        "pink": "pink",
        "purple": "purple",
        "silver": "silver",
        "gold": "gold",
        "golden": "gold",
        "maroon": "red",
    }
)
"""Colour words to the name that answers use."""

NEAR_COLOURS = tuple(
    frozenset(group.split())
    for group in (
        "brown tan gold orange yellow red",
        "gray silver white tan",
        "black gray brown blue",
        "red pink orange purple",
        "blue purple green",
    )
)
"""Colours that people may take for one another; never offered as the wrong one."""

_MODIFIERS = """
big large small little tiny huge giant tall short long old young new wet dirty muddy shaggy fluffy furry striped
plaid checkered spotted bright dark light colored leather wooden wood metal plastic knit winter long-sleeved
sleeveless hooded puffy matching hairy curly fuzzy stuffed rubber inflatable empty parked double rusty antique
vintage toy fancy adult baby male female pretty beautiful cute shiny muscular skinny lone single bald bearded blond
blonde happy elderly teenage asian african american middle-aged older younger brightly very several various
different other own deep fresh shallow calm rough clear thick lush dry fallen nice clean modern open busy crowded
grassy snowy sandy rocky icy wooded frozen murky paved
"""
MODIFIERS = frozenset(_MODIFIERS.split())
"""Words that may stand between a determiner or a colour and its noun."""

_NOT_THINGS = """
rock climbing, rock wall, climbing wall, rock face, horse racing, dog racing, car racing, dog show, dog house, dog
sled, dog food, bird bath, bird feeder, bird house, bear costume, horse carriage, horse drawn, cow print, cow boy,
cat nap, cat walk, fire engine, fire escape, fire station, fire extinguisher, water gun, water hose, water polo,
water skiing, water ski, snow machine, snow suit, snow shoes, snow boots, snow covered, sky diving, table tennis,
ball cap, ball game, ball pit, ball field, bus stop, bus station, train track, train tracks, train car, train cars,
plane window, boat dock, car wash, car window, car seat, car lot, bike rack, bike path, bike trail, bike race, bike
lane, bicycle race, horse race, dog race, train yard, motorcycle race, boat ride, boat race, sail boarding, man
made, man-made, woman s, phone booth, telephone booth, bed room, sand castle, sand dune, sand box, hill side, ski
lift, ski lodge, ski jump, ski poles, ski pole, ski mask, ski resort, ski suit, swing dance, ice skating, ice
skates, ice rink, ice cube, ice cubes, ice hockey, paper plate, license plate, home plate, baseball plate, pitcher
of, wine bottle, stage coach, duck pond, pool table, pool ball, pool stick, tow rope, apple computer, orange juice,
apple juice, tomato sauce, corn field, egg salad, fruit stand, vegetable stand, cake pan, pizza box, pizza oven,
pizza pan, pizza cutter, bread box, cheese cake, coffee table, coffee shop, coffee maker, coffee pot, coffee mug,
wine rack, bear cub, toy car, toy truck, toy train, toy airplane, toy plane, toy boat, toy dog, toy horse, toy gun,
toy sword, stuffed dog, stuffed bear, model train, model airplane, model plane, rubber duck, hot air balloon, statue
of, picture of, painting of
"""
NOT_THINGS = frozenset(phrase.strip() for phrase in _NOT_THINGS.replace("\n", " ").split(",") if phrase.strip())
"""Phrases in which a thing's name means something else; they hide what they cover."""
