"""The toy corpus: children's stories from a small grammar (`stages.lm.corpus.grammar`), with something to learn at every range.

Two friends, a thing that changes hands or gets lost, two places, an animal. What the story settles early is needed late: names
and their pronouns, who holds the thing and where it lies (state variables), and questions at bedtime whose answers the story
determines. Rules of one symbol begin or go on so differently that a text has exactly one derivation; the tests prove it.
"""

from collections.abc import Sequence

from stages.lm.corpus.grammar import Grammar, Rule, Word


def words(text: str) -> list[Word]:
    """Plain words, separated by commas, with the forms that any of them may need."""
    return [{"": word, "a": f"{_article(word)} {word}", "A": f"{_article(word).title()} {word}"} for word in _listed(text)]


def people(names: str, girls: bool) -> list[Word]:
    """First names, with the pronouns that go with them."""
    she, her, him, girl = ("she", "her", "her", "girl") if girls else ("he", "his", "him", "boy")
    forms = {"she": she, "She": she.title(), "her": her, "Her": her.title(), "him": him, "girl": girl}
    return [{"": name, **forms} for name in _listed(names)]


def places(nouns: str) -> list[Word]:
    """Places: "the garden", "in the garden", "In the garden"."""
    return [{"": f"the {noun}", "at": f"in the {noun}", "At": f"In the {noun}"} for noun in _listed(nouns)]


def _listed(text: str) -> Sequence[str]:
    return [word.strip() for word in text.split(",")]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


LEXICON: dict[str, list[Word]] = {
    "name": people("Mia, Lily, Anna, Ruby, Nora, Ella, Zoe, Ivy, Rosa, Clara", girls=True)
    + people("Tom, Ben, Max, Leo, Sam, Jack, Finn, Hugo, Noah, Oscar", girls=False),
    "look": words("red, blue, green, yellow, pink, purple, orange, silver, golden, shiny, tiny, old"),
    "thing": words(
        "ball, kite, drum, hat, boat, bell, book, box, cup, doll, lamp, ring, robot, shell, spoon, key, button, flute, "
        "coin, mirror"
    ),
    "place": places(
        "garden, park, forest, barn, meadow, castle, market, school, kitchen, library, village, valley, tower, attic, cave, mill"
    ),
    "spot": words(
        "under a bench, behind a stone, under a bucket, inside a sack, behind a wall, under a cart, inside a barrel, under a log"
    ),
    "animal": words("cat, dog, duck, fox, owl, goat, hen, mouse, rabbit, frog, crow, pony"),
    "job": words("sailor, baker, pilot, farmer, doctor, teacher, cook, artist"),
    "family": words("mother, father, grandmother, grandfather, uncle, aunt, brother, sister"),
    "weather": words("sunny, windy, rainy, snowy, foggy, warm, cold, fine, bright, quiet, gray, lovely"),
    "time": words("day, morning, afternoon, evening"),
    "trait": words("kind, clever, brave, funny, gentle, quiet, merry, shy"),
    "doing": words(
        "singing, dancing, drawing, painting, reading, jumping, digging, playing, running, walking, resting, hopping, "
        "hiding, skipping, waiting, humming"
    ),
    "way": words("running, walking, jumping, hopping, skipping, dancing, singing, humming"),
    "feeling": words("happy, proud, glad, brave, merry, calm, tired, sleepy, hungry, shy, lucky, sad"),
    "food": words("apples, pears, cookies, plums, nuts, buns, grapes, berries, cakes, carrots, cherries, peaches"),
    "number": words("two, three, four, five, six, seven, eight, nine, ten, twelve, twenty, fifty"),
    "manner": words("softly, slowly, gently, kindly, proudly, quietly, happily, politely, calmly, sweetly, gladly, bravely"),
    "praise": words("nice, great, fine, funny, lovely, pretty, strange, sweet"),
    "game": words("tag, cards, chess, catch, pirates, knights, tennis, marbles"),
}

ROLES = {
    "hero": "name",
    "friend": "name",
    "look": "look",
    "thing": "thing",
    "here": "place",
    "there": "place",
    "spot": "spot",
    "animal": "animal",
    "job": "job",
    "family": "family",
}

VALUES = {
    "holder": "hero",  # who has the thing
    "other": "friend",  # the one of the two friends who has not
    "lost": "no",  # whether it was left in the spot
    "site": "there",  # where it was left
    "dream": "no",  # whether a job was named
}

HELD_BY_FRIEND = {"holder": "friend", "other": "hero"}
HELD_BY_HERO = {"holder": "hero", "other": "friend"}

RULES: dict[str, list[Rule]] = {
    "STORY": [
        Rule(
            "<OPENING><DREAM> <THING><FEELING>\n<FRIEND> <TALK>\n<JOURNEY> <SIGHT><TROUBLE>\n<EVENING> <BEDTIME><QUIZ>",
        ),
    ],
    "OPENING": [
        Rule("One {@weather} {@time}, {hero!} was {@doing} {here!.at}.", 3),
        Rule("Once upon a time, a {@trait} {hero!.girl} named {hero} was {@doing} {here!.at}.", 3),
        Rule("It was a {@weather} {@time}, and {hero!} felt {@feeling}. {hero.She} was {@doing} {here!.at}.", 2),
        Rule("There was once a {@trait} {hero!.girl} who was always {@doing} {here!.at}. {hero.Her} name was {hero}.", 2),
    ],
    "DREAM": [
        Rule(""),
        Rule(" {hero.She} wanted to be {job!.a} one day.", then={"dream": "yes"}),
    ],
    "THING": [
        Rule("In {hero.her} hand was {look!.a} {thing!}.", 2),
        Rule("That day {hero.she} had {look!.a} {thing!} with {hero.him}.", 2),
        Rule("A {@trait} neighbor had given {hero.him} {look!.a} {thing!}.", 2),
        Rule("In a corner of {here}, {hero.she} found {look!.a} {thing!}.", 2),
    ],
    "FEELING": [
        Rule(""),
        Rule(" It made {hero.him} very {@feeling}."),
        Rule(" It was a {@praise} {thing}."),
    ],
    "FRIEND": [
        Rule("Soon {friend!} came by with {@number} {@food}.", 3),
        Rule("Then {hero.her} friend {friend!} came {@way} to {here}.", 3),
        Rule("After a while came {friend!}, a {@trait} {friend.girl} who loved {@food}.", 2),
        Rule("Just then a voice called {@manner}. It was {friend!}.", 2),
    ],
    "TALK": [
        Rule('"What a {@praise} {thing}!" said {friend}. "May I hold it?" <ANSWER>', 3),
        Rule(
            '"I will give you {@number} {@food} for your {look} {thing}," said {friend}, and {hero} agreed {@manner}.',
            2,
            then=HELD_BY_FRIEND,
        ),
        Rule("{hero} {@manner} showed {friend.him} the {look} {thing}.", 2),
        Rule(
            '"This {look} {thing} is for you," said {hero} {@manner}. {friend} felt very {@feeling}.',
            2,
            then=HELD_BY_FRIEND,
        ),
    ],
    "ANSWER": [
        Rule('"Of course," said {hero} {@manner}.', 2, then=HELD_BY_FRIEND),
        Rule('"Not now," said {hero} {@manner}.'),
    ],
    "JOURNEY": [
        Rule("They left {here} and went to {there!} to play {@game}.", 3),
        Rule('"Let us go to {there!}," said {holder}. {other} brought {@number} {@food}.', 2),
        Rule('"Shall we play {@game}?" asked {other}. "Yes, {there!.at}," said {holder}.', 2),
        Rule("Together they went {@way} from {here} to {there!}.", 2),
    ],
    "SIGHT": [
        Rule("{there.At} they saw {animal!.a} {@doing}.", 3),
        Rule("Soon they met {animal!.a} {@doing}."),
        Rule("There was nobody {there.at} but {animal!.a}."),
    ],
    "TROUBLE": [
        Rule(" {other} wanted to have the {look} {thing}, so {holder} gave it to {other.him} {@manner}.<LATER>", 2),
        Rule(" The {animal} looked so {@feeling} that {holder} gave it the {look} {thing}.", 2, then={"holder": "animal"}),
        Rule(
            " While they played {@game}, {holder} put the {look} {thing} {spot!} and forgot it {there.at}.",
            3,
            then={"lost": "yes"},
        ),
        Rule(
            " Suddenly the {animal} took the {look} {thing} from {holder} and ran to {here}. It dropped it {spot!}.<SEARCH>",
            2,
        ),
        Rule(' "You are {@praise}," {holder} told the {animal} {@manner}.', 2),
    ],
    "LATER": [
        Rule("", when={"holder": "hero"}, then=HELD_BY_FRIEND),
        Rule("", when={"holder": "friend"}, then=HELD_BY_HERO),
    ],
    "SEARCH": [
        Rule(" They could not find it.", then={"lost": "yes", "site": "here"}),
        Rule(" They ran after it, and {hero} picked up the {look} {thing} {@manner}.", then=HELD_BY_HERO),
        Rule(" They ran after it, but {friend} was faster and picked up the {look} {thing}.", then=HELD_BY_FRIEND),
    ],
    "EVENING": [
        Rule("At home {hero} ate {@number} {@food}.", 2),
        Rule("In the evening {hero} went home and felt {@feeling}.", 2),
        Rule('"Goodbye," said {friend} {@manner}, and they left {there}.', 2),
    ],
    "BEDTIME": [
        Rule('"Where is your {look} {thing}?" asked {hero.her} {family!}. <WHERE>', 3),
        Rule('{hero.Her} {family!} asked {@manner}, "And who has the {look} {thing} now?" <WHERE>', 2),
    ],
    "WHERE": [
        Rule('"I have it here," said {hero}, and {hero.her} {family} smiled {@manner}.', when={"lost": "no", "holder": "hero"}),
        Rule('"{friend} has it," said {hero} {@manner}.', when={"lost": "no", "holder": "friend"}),
        Rule(
            '"The {animal} has it," said {hero}, and {hero.her} {family} laughed {@manner}.',
            when={"lost": "no", "holder": "animal"},
        ),
        Rule('"Nobody has it," said {hero}. "It is still {spot}, {site.at}."', when={"lost": "yes"}),
    ],
    "QUIZ": [
        Rule("\nWhere did {hero} meet {friend}? {here.At}.", 2),
        Rule("\nWhat did they see {there.at}? {animal.A}.", 2),
        Rule("\nWho wanted to be {job.a}? {hero} did.", when={"dream": "yes"}),
        Rule("\n{hero} became {job.a} after all, and {friend} was very {@feeling}.", 2, when={"dream": "yes"}),
        Rule("\nAnd how did the {thing} look? It was {look}.", 2),
    ],
}


def stories() -> Grammar:
    """The grammar of the toy corpus."""
    return Grammar(LEXICON, ROLES, RULES, "STORY", VALUES)
