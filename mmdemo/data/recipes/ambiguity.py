"""Words that make it doubtful whether a thing is absent: other names, what it is taken for, where it goes unmentioned.

One block per group of things, a blank line between: names, a colon, the words. A thing in several blocks has the
words of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_THINGS = """
bicycle, motorcycle, scooter, tricycle, unicycle, atv: motorcyclist motorcyclists motorcycles bicycles bike bikes
biker bikers cyclist cyclists
bicyclist bicyclists motocross bmx rider riders cycle cycling biking wheelie racer ride rides riding

car, truck, van, jeep, bus: vehicle vehicles traffic street road city parked parking highway intersection car cars
driving race racing town downtown urban sidewalk taxi

train: railroad railway tracks track subway station engine rail platform

airplane, helicopter, parachute: aircraft airport flying runway jet flight airborne wings

boat, ship: lake ocean river harbor dock water sea marina paddle paddling rowing sail sailing sails canoe kayak vessel
oars pier bay rapids

sled, snowmobile, skis, snowboard: snow snowy ski skiing slope sledding skier skiers snowboarding snowboarder
snowboarders poles

skateboard, scooter, ramp: skate skateboarder skateboarders skateboarding skater skaters skating board trick tricks
rollerblades rail rollerblading skatepark stunt

surfboard: surfer surfers surfing surf surfs wave waves board boards beach wakeboard wakeboarding ocean waterskiing

ball: soccer football tennis basketball baseball volleyball rugby toy toys game playing play plays player players
pitch golf bowling bat fetch object something batter catch goal kick cricket polo mouth softball team teams lacrosse
dodgeball pitcher juggling

frisbee: disc toy toys object something mouth catch catches catching fetch

bat, racket: baseball tennis player players batter game badminton racquet match cricket softball hit hitting swing
swinging swings pitch

goal, hurdle: soccer football hockey player game race goalie jump jumping jumps obstacle course agility track net

swing, slide: playground park swinging sliding slides swings toy ride child children kids

hat: helmet cap hood hats caps helmets headscarf turban bandana bandanna beanie headgear uniform costume man men
cowboy sun crowd player players people baseball dressed snow

helmet: bike hat motorcycle skateboard ski snow baseball football hockey rider rider's biker motocross kayak race
batter player players climbing climber sled skating soldier fireman cyclist racing snowboarder skier skateboarder
rollerblades horse scooter rodeo construction

tie, suit, dress, bikini, swimsuit, costume, uniform, wetsuit, mask, life jacket, apron: wearing dressed outfit
clothing clothes formal beach swim swimming pool water costume uniform dresses gown skirt wedding bathing suits surf
surfer surfing suit men man woman women girl girls boy player kayak boat people dance dancing halloween tie bikini
bikinis cook kitchen cooking chef

bench, chair, couch, bed: sit sits sitting seat seats seated bench chair chairs room park sofa lounge couch laying
lying rests resting hotel bedroom blanket sleeping sleeps lap asleep pillow living street sidewalk bed cushion
restaurant patio table house indoors inside

desk, computer, laptop, television, keyboard, clock, lamp: room office desk computer screen monitor living laptop
laptops kitchen table counter inside indoors bedroom shelf video wii tv watching hotel couch restaurant store tower
appliances

refrigerator, oven, sink, microwave: kitchen room stove counter cabinets apartment appliances cooking cook food
restaurant oven fridge bathroom

toilet, bathtub, sink, shower: bathroom restroom tub bath stall urinal room toilets sink wash washing

vase, flower, candle: flowers plant plants flower floral table bouquet wedding garden

umbrella, tent: umbrellas rain beach shade tents canopy camp camping parasol patio market table street canopies
restaurant

stop sign, traffic light, street sign, fire hydrant, parking meter: street road city sign signs intersection sidewalk
traffic corner light lights hydrant car cars parking bus curb crosswalk urban town

fountain, waterfall, statue, tower, church, bridge, barn, clock tower: city park building buildings statue fountain
water river plaza monument church town street house skyline landscape sculpture castle lake square waterfall stream
structure clock architecture

balloon, bubble, kite: party birthday festival toy flying air kites balloons bubbles parade sky

teddy bear: bear bears toy toys stuffed animal animals doll room bed

guitar, violin, drum, piano, microphone: music musician musicians band instrument instruments playing concert stage
sing sings singing singer performing perform performs musical guitars guitarist drums drummer

stroller, wheelchair, wagon, carriage, shopping cart: cart carriage buggy push pushing pushes pulling pulled wagon
street market parade wheelchair crowd horse horses baby walking mall store

fire, cigarette: smoke smoking smokes flame flames grill camp cook cooking campfire cigar cigarette

sword, gun: weapon weapons soldier army armor military police war fight fighting costume pirate toy rifle

trampoline, hammock: bounce bouncing bounces jump jumping jumps swing swinging net inflatable

scissors, toothbrush, trophy, remote, ladder, fishing pole, suitcase: cut cutting brush brushing teeth team winner
award wii video game television tv fishing fish paint painting climb climbing bag bags luggage airport travel backpack
backpacks roof pier boat lake holding controller hair

tunnel, hula hoop, tricycle, inner tube: course agility obstacle hoop hoops tube tubes bike toy child float raft sled
water

pizza, sandwich, hot dog, donut, cake, pie, bread, cheese, salad, soup, pasta, egg, cookie: food meal eat eats eating
plate dinner lunch breakfast dish dessert restaurant snack pastry bakery birthday tray hamburger burger slice
doughnuts donuts table bowl topped bun toppings pancakes bagel

banana, apple, strawberry, grape, lemon, fruit: fruit fruits food eating plate bowl market oranges produce salad
smoothie meal snack vegetables

broccoli, carrot, tomato, potato, lettuce, corn, vegetable, rice, meat: food vegetable vegetables veggies meal plate
salad dish eating produce market dinner soup sandwich pizza garden lunch bowl fries chips green greens sauce topped
field farm

coffee, beer, wine, popcorn, ice cream: drink drinks drinking glass glasses cup cups bottle bottles table restaurant
beverage eat eats eating snack meal food bar party mug

dog: pet animal animals leash puppies hound greyhounds collie

cat: pet animal animals kittens

horse, cow, sheep, goat, pig: animal animals farm cattle herd pasture bull rodeo cowboy ranch carriage horseback
livestock barn jockey grazing saddle polo

duck, goose, swan, seagull, bird: bird birds duck ducks geese swan swans pond lake beach seagulls pigeons flock animal
animals wings ocean fowl feathers shore sea flying

elephant, giraffe, zebra, lion, tiger, deer, monkey, camel, kangaroo, bear, rabbit, squirrel, turtle, snake, frog,
dolphin, whale, shark: animal animals zoo wildlife

butterfly: insect insects bug flower flowers garden wings animal

baby, child, boy, girl: child children kid kids toddler boy boys girl girls baby infant youth young teen teens teenage
teenager teenagers family little people person crowd small group someone youngsters student students school team
player players couple son daughter

man, boy: he his him man men male guy boy guys person people player players adult teen teenager teenagers rider crowd
group someone couple team family kids children child skier snowboarder surfer biker skateboarder

woman, girl: she her woman women female lady ladies girl person people player players adult teen teenager teenagers
crowd group someone couple team family kids children child rider

mountain: hill hills mountain mountains mountainside mountaintop hillside cliff rock rocky peak ski snow snowy
landscape hike hiking hiker climb climbing slope valley scenic

ocean, beach, sand: ocean sea beach sand sandy water lake shore coast surf wave waves surfing desert volleyball dune
shoreline river pond boat dirt bay island seaside surfer playground

snow: snow snowy snowball ski skiing skis skier snowboard snowboarding snowboarder winter ice icy sled sledding slope
cold mountain mountains white snowmobile frozen snowsuit glacier

pool: pool water swim swimming swims swimmer diving tub bath pond fountain splashing splashes bathing swimsuit splash

tennis court: tennis court courts racket racquet
"""

_PEOPLE = """
man: he him his rider someone their they

woman: her she someone their they

boy: someone they

girl: someone they

child: someone

baby: diaper someone stroller

person: arm arms audience boy's busy bystanders child's competition crowded dressed everyone game girl's group hand
hands hat he held her him his jacket leash led man's market match owner parade people's player's race ridden she shirt
shirtless somebody someone their them they traffic walked woman's
"""

_WHOLE_KINDS = """
animal: animal animals bear bird birds cat cow dog dogs duck farm fish horse jockey leash pet polo rodeo toy zoo

vehicle: airplane airport bike biker bikers bikes boat bus car cars cart city driving parked parking race ride rider
rides riding road sidewalk sled station street town track tracks traffic train vehicle vehicles

food: bowl breakfast cake chicken cook cooking dinner drink eat eating eats feeding food fruit grocery kitchen lunch
market meal mouth party picnic plate restaurant snack store table vegetables
"""


def _read(table: str) -> Mapping[str, frozenset[str]]:
    doubts: dict[str, frozenset[str]] = {}
    for block in table.strip().split("\n\n"):
        names, _, words = block.partition(":")
        for name in names.replace("\n", " ").split(","):
            key = " ".join(name.split())
            doubts[key] = doubts.get(key, frozenset()) | frozenset(words.split())
    return MappingProxyType(doubts)


DOUBTS = _read(_THINGS)
"""Thing to the words after which it may be there unmentioned."""

PEOPLE_DOUBTS = _read(_PEOPLE)
"""The same for people, where pronouns and clothes count too."""

WHOLE_DOUBTS = _read(_WHOLE_KINDS)
"""The same for "animal", "vehicle" and "food"."""
