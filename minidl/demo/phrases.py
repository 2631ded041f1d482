"""The words and the frames that the reviews of `corpus` are made of."""

from __future__ import annotations

from typing import NamedTuple

# Each kind of thing that is reviewed: its nouns, and the good and the bad that is said of it.
KINDS = {
    "film": (
        "film movie sequel comedy thriller documentary it",
        "gripping moving touching witty thrilling original charming entertaining funny",
        "boring predictable silly confusing tedious pointless slow overlong tiresome",
    ),
    "story": (
        "plot story script ending dialogue premise opening",
        "gripping moving touching witty thrilling original clever believable",
        "boring predictable silly confusing tedious pointless clumsy shallow",
    ),
    "players": (
        "acting cast hero heroine villain actors performances",
        "convincing charming captivating believable clever funny",
        "wooden unconvincing irritating lifeless predictable bland",
    ),
    "craft": (
        "music soundtrack photography editing direction effects costumes",
        "stylish elegant stunning polished imaginative beautiful",
        "sloppy cheap ugly lifeless clumsy uninspired",
    ),
    "book": (
        "book novel memoir biography it",
        "gripping moving touching witty original absorbing interesting funny",
        "boring predictable silly confusing tedious pointless shallow slow",
    ),
    "writing": (
        "prose style chapters characters writing translation",
        "elegant imaginative convincing polished captivating beautiful believable",
        "clumsy bland sloppy lifeless unconvincing wooden shallow uninspired",
    ),
    "restaurant": (
        "restaurant place bar cafe it",
        "clean cosy comfortable spacious quiet charming stylish",
        "dirty noisy small shabby gloomy smelly expensive",
    ),
    "hotel": (
        "hotel hostel cottage it",
        "clean cosy comfortable spacious quiet charming stylish",
        "dirty noisy small shabby gloomy smelly expensive",
    ),
    "food": (
        "food soup pizza pasta dessert coffee fish salad steak bread breakfast sandwiches",
        "delicious tasty fresh satisfying generous",
        "tasteless cold stale greasy bland expensive",
    ),
    "staff": (
        "staff waiter waitress manager chef owner receptionist waiters",
        "friendly polite helpful attentive kind patient professional",
        "rude careless arrogant unfriendly lazy impatient unhelpful",
    ),
    "service": (
        "service delivery booking website support",
        "quick smooth efficient reliable helpful professional friendly",
        "slow chaotic inefficient confusing unreliable unhelpful careless",
    ),
    "room": (
        "room bathroom lobby garden terrace pool rooms",
        "clean cosy comfortable spacious quiet beautiful",
        "dirty noisy small shabby gloomy smelly",
    ),
    "phone": (
        "phone laptop tablet camera printer it",
        "reliable fast sturdy handy durable stylish quick quiet",
        "unreliable slow flimsy clunky faulty fragile noisy expensive",
    ),
    "parts": (
        "battery screen keyboard speakers software app headphones buttons design",
        "reliable fast sturdy handy durable stylish",
        "unreliable flimsy clunky faulty ugly fragile cheap",
    ),
    "concert": (
        "concert album song show it",
        "catchy powerful uplifting moving stunning entertaining original",
        "monotonous noisy lifeless repetitive boring overlong predictable",
    ),
    "sound": (
        "singer band lyrics voice drums melodies chorus",
        "catchy powerful uplifting captivating stunning moving",
        "monotonous noisy uninspired repetitive lifeless irritating",
    ),
    "trip": (
        "trip tour cruise museum exhibition it",
        "interesting relaxing worthwhile exciting rewarding entertaining",
        "tiring overrated crowded tiresome chaotic expensive",
    ),
    "game": (
        "game puzzle campaign it",
        "addictive exciting absorbing rewarding original entertaining",
        "frustrating repetitive buggy tedious unfair overrated",
    ),
    "play": (
        "graphics controls levels puzzles quests missions interface",
        "smooth polished imaginative rewarding addictive exciting",
        "frustrating repetitive buggy unfair clumsy confusing clunky",
    ),
}
# What is said of anything.
GOOD = (
    "good great excellent wonderful superb fantastic brilliant impressive lovely amazing outstanding terrific fine nice"
)
BAD = "bad terrible awful horrible dreadful poor disappointing mediocre weak lousy forgettable unpleasant annoying dull"
# A topic is a kind that can be reviewed as a whole, and the kinds that are its parts.
TOPICS = {
    "film": ("story", "players", "craft"),
    "book": ("story", "writing"),
    "restaurant": ("food", "staff", "service"),
    "hotel": ("room", "staff", "food", "service"),
    "phone": ("parts", "service"),
    "concert": ("sound", "staff"),
    "trip": ("staff", "food", "service"),
    "game": ("play", "story"),
}
PLURAL = (
    "actors performances effects costumes chapters characters sandwiches waiters rooms speakers headphones buttons "
    "lyrics drums melodies graphics controls levels puzzles quests missions"
)


class Frames(NamedTuple):
    """Ways to say a thing: in `plain` a clause means what its word says, in `turned` the opposite.

    The word is one of `good` or `bad`, an adjective that suits the noun where these are empty.
    """

    plain: tuple[str, ...]
    turned: tuple[str, ...]
    good: str = ""
    bad: str = ""


PREDICATE = Frames(
    plain=(
        "{noun} {be} {word}",
        "{noun} {be} {very} {word}",
        "{noun} {be} {word} and {other}",
        "{noun} {be} not only {word} but {other}",
        "{noun} {be} nothing if not {word}",
        "I found {noun} {very} {word}",
        "I thought {noun} {was} {very} {word}",
        "I can't deny that {noun} {be} {word}",
        "nobody could deny that {noun} {be} {word}",
        "nobody could say that {noun} {be}n't {word}",
        "there is no doubt that {noun} {be} {word}",
    ),
    turned=(
        "{noun} {be} not {word}",
        "{noun} {be} not {word} at all",
        "{noun} {be} not {that} {word}",
        "{noun} {be}n't {word}",
        "{noun} {be}n't {word} at all",
        "{noun} {be}n't {that} {word}",
        "{noun} {be} never {word}",
        "{noun} {be} hardly {word}",
        "{noun} {be} far from {word}",
        "{noun} {be} anything but {word}",
        "{noun} {be} by no means {word}",
        "{noun} {be} neither {word} nor {other}",
        "nobody could call {noun} {word}",
        "no one would say that {noun} {be} {word}",
        "I would not call {noun} {word}",
        "I did not find {noun} {that} {word}",
        "I don't think {noun} {be} {word}",
        "I can't say that {noun} {be} {word}",
        "there was nothing {word} about {noun}",
    ),
)
ATTRIBUTIVE = Frames(
    plain=("this is {a} {word} {whole}", "it was {a} {word} {whole}", "I call it {a} {word} {whole}"),
    turned=(
        "this is not {a} {word} {whole}",
        "it was hardly {a} {word} {whole}",
        "I would not call it {a} {word} {whole}",
    ),
)
SUPERLATIVE = Frames(
    plain=("{noun} {be} the {word} ever", "this is the {word} {whole} ever", "it was the {word} {whole} of the year"),
    turned=("{noun} {be} not the {word} ever", "this is not the {word} {whole}", "it was far from the {word} {whole}"),
    good="best greatest finest",
    bad="worst poorest weakest",
)
VERBAL = Frames(
    plain=("I {past} {noun}", "I really {past} {noun}", "everyone {past} {noun}", "you will {word} {noun}"),
    turned=("I did not {word} {noun}", "I didn't {word} {noun}", "nobody {past} {noun}", "I would not {word} {noun}"),
    good="love like enjoy adore admire appreciate praise recommend",
    bad="hate dislike detest loathe despise resent deplore",
)
FRAGMENT = Frames(
    plain=("{word} {bare}", "{a} {word} {whole}", "what {a} {word} {whole}"),
    turned=("not {a} {word} {whole}", "hardly {a} {word} {whole}", "never {a} {word} {whole}"),
)
HEARSAY = Frames(
    plain=(
        "I expected {noun} to be {word}, and I was right",
        "everybody told me that {noun} would be {word}, and they were right",
        "the critics called {noun} {word}, and rightly so",
        "people say that {noun} {be} {word}, and I agree",
        "my friends did not find {noun} {word}, but I did",
        "some say that {noun} {be} not {word}, but I disagree",
    ),
    turned=(
        "I expected {noun} to be {word}, but I was wrong",
        "everybody told me that {noun} would be {word}, but they were wrong",
        "the critics called {noun} {word}, but I disagree",
        "people say that {noun} {be} {word}, but I disagree",
        "my friends found {noun} {word}, but I did not",
        "{noun} could have been {word}, but that did not happen",
    ),
)
DESPITE = Frames(plain=("despite the {word} {bare}",), turned=("despite the not {that} {word} {bare}",))
CONTRAST = (
    "{weak}, but {main}",
    "{weak}, yet {main}",
    "{weak}; however, {main}",
    "although {weak}, {main}",
    "even though {weak}, {main}",
    "while {weak}, {main}",
    "{main}, although {weak}",
    "{main}, even though {weak}",
)
AGREEMENT = ("{main} and {also}", "{main}, and {also}", "{main}; besides, {also}", "{main}, and what is more, {also}")
OPENERS = ("to be honest", "overall", "in my opinion", "in the end", "honestly", "frankly", "this time", "for me")
CLOSERS = ("this time", "as always", "once again", "if you ask me", "from start to finish")
VERY = ("very", "really", "truly", "so", "quite", "absolutely", "simply", "rather", "surprisingly")
THAT = ("very", "that", "so", "really", "exactly", "even")
