"""Tasks made from the toy grammar, whose answers are known: every wrong choice is a text that no story begins with.

An example is the beginning of a story up to a place where only one of some words can follow. Right answers of each kind (her
or his, one person or the other) are equally frequent, so that a model that always prefers one of them is right as often as by
chance. A story gives at most one example of a level.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

from stages.lm.corpus import toy
from stages.lm.corpus.grammar import Derivation
from stages.lm.evaluation.tasks.examples import Example
from stages.lm.evaluation.tasks.settings import GrammarTask


class Candidate(NamedTuple):
    """A place in a story that makes an example: the level, the kind of answer that is right, the text before it, the choices."""

    level: str
    kind: str
    context: str
    right: str
    wrong: Sequence[str]


class Kind(NamedTuple):
    """What a task asks: its levels, the easiest first, with the kinds of right answers of each, and where stories ask it."""

    levels: dict[str, tuple[str, ...]]
    candidates: Callable[[Derivation, random.Random], Iterator[Candidate]]


def story_examples(settings: GrammarTask) -> list[Example]:
    """The examples of a task, level by level."""
    kind, grammar = KINDS[settings.about], toy.stories()
    quotas = Counter(
        {
            (level, answer): settings.examples // len(answers) + (place < settings.examples % len(answers))
            for level, answers in kind.levels.items()
            for place, answer in enumerate(answers)
        }
    )
    found: dict[str, list[Example]] = {level: [] for level in kind.levels}
    taken: Counter[tuple[str, str]] = Counter()
    for index in count():
        if taken == quotas:
            break
        chance = random.Random(f"{settings.about}:{settings.seed}:{index}")
        story = Derivation(grammar, chance.random)
        asked = list(kind.candidates(story, chance))
        chance.shuffle(asked)
        used: set[str] = set()
        for candidate in asked:
            key = candidate.level, candidate.kind
            if candidate.level not in used and taken[key] < quotas[key]:
                used.add(candidate.level)
                taken[key] += 1
                found[candidate.level].append(_example(candidate, chance))
    return [example for examples in found.values() for example in examples]


def _example(candidate: Candidate, chance: random.Random) -> Example:
    choices = [candidate.right, *candidate.wrong]
    chance.shuffle(choices)
    return Example(candidate.context, tuple(choices), choices.index(candidate.right), candidate.level)


GENDERED = {"she", "She", "her", "Her", "him", "girl"}
"""Forms of a name that differ between girls and boys."""


def _agreement(story: Derivation, _chance: random.Random) -> Iterator[Candidate]:
    """Articles before their noun or adjective; pronouns of someone who was named, with and without somebody of the other gender
    in the story."""
    people = [story.cast[role]["she"] for role in ("hero", "friend")]
    friend = next(mention.start for mention in story.mentions if mention.role == "friend")
    named: set[str] = set()
    for mention in story.mentions:
        right = story.text[mention.start : mention.stop]
        if mention.form in ("a", "A"):
            article, _, word = right.partition(" ")
            wrong = {"a": "an", "an": "a", "A": "An", "An": "A"}[article]
            yield Candidate("next word", article.lower(), story.text[: mention.start], right, [f"{wrong} {word}"])
        elif mention.form in GENDERED and mention.role in named:
            level = "one person" if mention.start < friend else "two people"
            if level == "one person" or people[0] != people[1]:
                rest = _rest_of_sentence(story.text, mention.stop)
                wrong = _other_gender(mention.form, story.cast[mention.role]["she"])
                yield Candidate(level, story.cast[mention.role]["she"], story.text[: mention.start], right + rest, [wrong + rest])
        named.add(mention.role)


def _other_gender(form: str, she: str) -> str:
    """The form of a word whose gender is another than that of the word with the pronoun `she`."""
    return next(word[form] for word in toy.LEXICON["name"] if word["she"] != she)


def _rest_of_sentence(text: str, start: int) -> str:
    """What follows up to the end of the sentence, its full stop or the like included."""
    found = re.compile(r'[^.?!\n]*[.?!]?"?').match(text, start)
    return found[0] if found else ""


OTHERS = {"hero": "friend", "friend": "hero", "here": "there", "there": "here"}
LEVEL_OF = {"thing": "thing", "here": "place", "there": "place", "hero": "person", "friend": "person"}


def _coreference(story: Derivation, chance: random.Random) -> Iterator[Candidate]:
    """The thing of the story among others of which it does not tell; one of its two places or people, both told of before."""
    known: set[str] = set()
    for mention in story.mentions:
        context, right = story.text[: mention.start], story.text[mention.start : mention.stop]
        if mention.role == "thing" and "thing" in known:
            others = [word[mention.form] for word in toy.LEXICON["thing"] if word is not story.cast["thing"]]
            yield Candidate("thing", "thing", context, right, chance.sample(others, 3))
        elif mention.form in ("", "at", "At") and {mention.role, OTHERS.get(mention.role)} <= known:
            wrong = story.cast[OTHERS[mention.role]][mention.form]
            yield Candidate(LEVEL_OF[mention.role], mention.role, context, right, [wrong])
        known.add(mention.role)


ANSWERS = {
    "hero": '"I have it here," said {hero}',
    "friend": '"{friend} has it," said {hero}',
    "animal": '"The {animal} has it," said {hero}',
    "nobody": '"Nobody has it," said {hero}',
}


def _state(story: Derivation, _chance: random.Random) -> Iterator[Candidate]:
    """Who has the thing at the end, by how often it changed hands or was lost on the way; and where it was left."""
    words = {role: word[""] for role, word in story.cast.items()}
    answers = {who: answer.format(**words) for who, answer in ANSWERS.items()}
    values = dict(story.state.values)
    who = "nobody" if values["lost"] == "yes" else values["holder"]
    moves = sum(bool({"holder", "lost"} & used.then.keys()) for used in story.used)
    asked = next(used.start for used in story.used if used.symbol == "WHERE")
    wrong = [answer for other, answer in answers.items() if other != who]
    yield Candidate("one move at most" if moves < 2 else "two moves", who, story.text[:asked], answers[who], wrong)
    if who == "nobody":
        site = next(mention for mention in story.mentions if mention.start > asked and mention.form == "at")
        at = {role: story.cast[role]["at"] for role in ("here", "there")}
        yield Candidate("where it is", site.role, story.text[: site.start], at[site.role], [at[OTHERS[site.role]]])


GENDERS, PEOPLE, PLACES = ("she", "he"), ("hero", "friend"), ("here", "there")

KINDS = {
    "agreement": Kind({"next word": ("a", "an"), "one person": GENDERS, "two people": GENDERS}, _agreement),
    "coreference": Kind({"thing": ("thing",), "place": PLACES, "person": PEOPLE}, _coreference),
    "state": Kind({"where it is": PLACES, "one move at most": tuple(ANSWERS), "two moves": tuple(ANSWERS)}, _state),
}
