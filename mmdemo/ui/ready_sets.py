"""Ready-made label lists for the tab Classify, from the everyday to the specific."""

from __future__ import annotations

from collections.abc import Mapping

READY_SETS: Mapping[str, tuple[str, ...]] = {
    "everyday": (
        "bottle", "cup", "book", "chair", "table", "lamp", "clock", "phone", "laptop", "keyboard", "backpack",
        "umbrella", "shoe", "hat", "glasses", "scissors", "pen", "plant", "toy", "key", "bed", "sofa", "television",
        "refrigerator", "toothbrush", "ball", "box", "bag",
    ),
    "animals": (
        "dog", "cat", "horse", "cow", "sheep", "goat", "pig", "rabbit", "elephant", "giraffe", "zebra", "lion",
        "tiger", "bear", "monkey", "deer", "fox", "bird", "duck", "owl", "parrot", "chicken", "fish", "shark",
        "whale", "turtle", "snake", "frog", "butterfly", "bee", "spider",
    ),
    "scenes": (
        "beach", "mountain", "forest", "desert", "river", "lake", "city street", "village", "park", "garden",
        "kitchen", "bedroom", "bathroom", "living room", "office", "classroom", "restaurant", "supermarket",
        "train station", "airport", "bridge", "stadium", "church", "snowy landscape",
    ),
    "food": (
        "pizza", "hamburger", "sandwich", "hot dog", "salad", "soup", "pasta", "rice", "sushi", "bread", "cake",
        "ice cream", "cookie", "donut", "chocolate", "apple", "banana", "orange", "strawberry", "grapes", "tomato",
        "carrot", "broccoli", "egg", "cheese", "coffee",
    ),
    "sports": (
        "soccer", "basketball", "baseball", "tennis", "volleyball", "golf", "swimming", "surfing", "skiing",
        "snowboarding", "skateboarding", "cycling", "running", "climbing", "horse riding", "ice hockey", "boxing",
        "gymnastics", "sailing", "rugby",
    ),
    "vehicles": (
        "car", "bus", "truck", "motorcycle", "bicycle", "train", "tram", "airplane", "helicopter", "boat",
        "sailing ship", "ferry", "fire engine", "ambulance", "police car", "tractor", "van", "scooter",
    ),
    "actions": (
        "walking", "running", "jumping", "sitting", "sleeping", "eating", "drinking", "cooking", "reading",
        "writing", "talking on the phone", "taking a photo", "playing music", "dancing", "playing a game", "working",
        "shopping", "climbing", "swimming", "riding a bicycle",
    ),
}  # fmt: skip
"""Key (``set_<key>`` names it in ``strings``) to labels."""
