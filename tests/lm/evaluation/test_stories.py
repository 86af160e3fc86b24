"""Tasks of the toy grammar: what is right can follow, what is wrong cannot."""

from collections import Counter
from typing import Literal

import pytest

from stages.lm.corpus import toy
from stages.lm.corpus.grammar import Call, Grammar
from stages.lm.evaluation.tasks.examples import Example
from stages.lm.evaluation.tasks.settings import GrammarTask
from stages.lm.evaluation.tasks.stories import KINDS, story_examples
from tests.lm.corpus.test_toy_unambiguous import Side, steps

About = Literal["agreement", "coreference", "state"]
ABOUT: tuple[About, ...] = ("agreement", "coreference", "state")


def begins_a_story(grammar: Grammar, text: str) -> bool:
    """Whether some derivation's text begins like this: all of them are read side by side with it."""
    waiting = [(text, Side("", (Call(grammar.start),), grammar.initial), frozenset())]
    while waiting:
        left, side, shared = waiting.pop()
        common = min(len(left), len(side.pending))
        if left[:common] != side.pending[:common]:
            continue
        left, side = left[common:], side._replace(pending=side.pending[common:])
        if not left:
            return True
        waiting += [(left, following, known) for following, known in steps(grammar, side, shared)] if side.agenda else []
    return False


def test_the_reader_tells_beginnings_from_other_texts() -> None:
    grammar = toy.stories()
    text = grammar.sample(0, 0).text
    assert all(begins_a_story(grammar, text[:end]) for end in (1, 100, 300, len(text)))
    assert not begins_a_story(grammar, text[:300] + "?!")


@pytest.mark.parametrize("about", ABOUT)
def test_only_the_right_choice_can_follow(about: About) -> None:
    grammar = toy.stories()
    for example in story_examples(GrammarTask(source="grammar", about=about, examples=40, seed=1)):
        possible = [begins_a_story(grammar, text) for text in example.texts]
        assert possible == [place == example.answer for place in range(len(example.choices))], example


@pytest.mark.parametrize("about", ABOUT)
def test_levels_have_as_many_examples_as_were_asked_for_and_each_answer_is_as_frequent(about: About) -> None:
    examples = story_examples(GrammarTask(source="grammar", about=about, examples=40))
    assert Counter(example.level for example in examples) == dict.fromkeys(KINDS[about].levels, 40)
    assert len({example.context for example in examples if example.level == examples[-1].level}) == 40, "stories do not repeat"
    answers = Counter(example.answer for example in examples)
    assert max(answers.values()) < 0.7 * len(examples), "the place of the right choice tells nothing"


def test_who_has_the_thing_cannot_be_guessed_from_what_is_frequent() -> None:
    examples = story_examples(GrammarTask(source="grammar", about="state", examples=40))
    said = Counter((one.level, one.choices[one.answer].split()[0]) for one in examples if one.level != "where it is")
    names = {word[""] for word in toy.LEXICON["name"]}
    for level in ("one move at most", "two moves"):
        friend = sum(count for (own, word), count in said.items() if own == level and word.strip('"') in names)
        assert [said[level, word] for word in ('"I', '"The', '"Nobody')] == [10, 10, 10]
        assert friend == 10


def test_examples_are_a_function_of_the_seed() -> None:
    def made(seed: int) -> list[Example]:
        return story_examples(GrammarTask(source="grammar", about="coreference", examples=10, seed=seed))

    assert made(0) == made(0)
    assert made(0) != made(1)
