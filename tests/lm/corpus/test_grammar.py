"""The grammar engine against enumeration by brute force, and the toy grammar through a parser that counts derivations."""

import math
import random
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lm.corpus import toy
from stages.lm.corpus.grammar import Derivation, Grammar, Rule

LEXICON = {
    "name": [{"": "Al", "she": "he"}, {"": "Beatrix", "she": "she"}, {"": "Zoë", "she": "she"}],
    "thing": [{"": "hat"}, {"": "balloon"}],
    "place": [{"": "Rome"}, {"": "Oslo"}, {"": "Lima"}, {"": "Timbuktu"}],
}
ROLES = {"hero": "name", "friend": "name", "thing": "thing"}
VALUES = {"holder": "hero", "sad": "no"}
RULES = {
    "TEXT": [
        Rule("{hero!} met {friend!} in {@place}.<GIFT><END>", 3),
        Rule("In {@place} lived {hero!}, and {hero.she} had no {thing!}.", 1.5),
    ],
    "GIFT": [
        Rule(" {hero} gave a {thing!} away.", 2, then={"holder": "friend"}),
        Rule(" {hero.she} kept the {thing!}.<MOOD>", 1),
    ],
    "MOOD": [Rule(""), Rule(" How sad!", 0.25, then={"sad": "yes"})],
    "END": [
        Rule(" {holder} had it, in {@place}.", when={"holder": "friend"}),
        Rule(" {holder} smiled."),
        Rule(" {friend} wept.", 5, when={"sad": "yes"}),
    ],
}

Spec = tuple[dict[str, Any], dict[str, str], dict[str, list[Rule]], str, dict[str, str]]
SMALL: Spec = (LEXICON, ROLES, RULES, "TEXT", VALUES)
TOY: Spec = (toy.LEXICON, toy.ROLES, toy.RULES, "STORY", toy.VALUES)


@cache
def tokens(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"<[^>]*>|\{[^}]*\}|[^<{]+", text))


def options(rules: dict[str, list[Rule]], symbol: str, state: dict[str, str]) -> list[tuple[Fraction, Rule]]:
    fitting = [rule for rule in rules[symbol] if all(state[name] == value for name, value in rule.when.items())]
    total = sum(Fraction(rule.weight) for rule in fitting)
    return [(Fraction(rule.weight) / total, rule) for rule in fitting]


def derivations(spec: Spec, text: str | None = None) -> Iterator[tuple[Fraction, str]]:
    """Every derivation as (probability, text); with `text`, only the derivations of that text, found by parsing it."""
    lexicon, roles, rules, start, values = spec

    def walk(
        probability: Fraction, done: str, agenda: tuple[Any, ...], state: dict[str, str], cast: dict[str, Any]
    ) -> Iterator[tuple[Fraction, str]]:
        if text is not None and not text.startswith(done):
            return
        if not agenda:
            if text is None or text == done:
                yield probability, done
            return
        head, rest = agenda[0], agenda[1:]
        if isinstance(head, dict):
            yield from walk(probability, done, rest, {**state, **head}, cast)
        elif head.startswith("<"):
            for share, rule in options(rules, head[1:-1], state):
                yield from walk(probability * share, done, (*tokens(rule.text), dict(rule.then), *rest), state, cast)
        elif head.startswith("{@"):
            words = lexicon[head[2:-1]]
            for word in words:
                yield from walk(probability / len(words), done + word[""], rest, state, cast)
        elif head.startswith("{"):
            name, _, form = head[1:-1].partition(".")
            if name.endswith("!"):
                free = [word for word in lexicon[roles[name[:-1]]] if word not in cast.values()]
                for word in free:
                    yield from walk(probability / len(free), done + word[form], rest, state, {**cast, name[:-1]: word})
            else:
                yield from walk(probability, done + cast[state.get(name, name)][form], rest, state, cast)
        else:
            yield from walk(probability, done + head, rest, state, cast)

    return walk(Fraction(1), "", (f"<{start}>",), values, {})


def texts(spec: Spec) -> dict[str, Fraction]:
    """The probability of every text, and a check that no two derivations share one."""
    found: dict[str, Fraction] = defaultdict(Fraction)
    count = 0
    for probability, text in derivations(spec):
        found[text] += probability
        count += 1
    assert sum(found.values()) == 1
    if count != len(found):
        raise ValueError(f"{count} derivations of {len(found)} texts")
    return found


def entropy_bits(probabilities: dict[str, Fraction]) -> float:
    return -math.fsum(float(p) * math.log2(p) for p in probabilities.values())


def test_entropy_is_that_of_the_enumerated_texts() -> None:
    probabilities = texts(SMALL)
    entropy = Grammar(*SMALL).entropy()
    assert len(probabilities) == 408
    assert entropy.bits_per_document == pytest.approx(entropy_bits(probabilities), rel=1e-12)
    expected = math.fsum(float(p) * len(text.encode()) for text, p in probabilities.items())
    assert entropy.bytes_per_document == pytest.approx(expected, rel=1e-12)
    assert entropy.bits_per_byte == pytest.approx(entropy_bits(probabilities) / expected, rel=1e-12)


@given(weights=st.lists(st.integers(1, 50), min_size=5, max_size=5), names=st.integers(2, 4))
def test_entropy_for_any_weights_and_lexicon(weights: list[int], names: int) -> None:
    lexicon = {"name": [{"": "x" * (2 * n + 1)} for n in range(names)]}
    rules = {
        "TEXT": [Rule("A {one!} {two!} <B><C>", weights[0]), Rule("Z{one!} {two!}", weights[1])],
        "B": [Rule("b{one} {@name};", weights[2], then={"who": "one"}), Rule("c{two};", weights[3], then={"who": "two"})],
        "C": [Rule(" {who}", weights[4]), Rule("", 1, when={"who": "two"})],
    }
    spec: Spec = (lexicon, {"one": "name", "two": "name"}, rules, "TEXT", {"who": "one"})
    assert Grammar(*spec).entropy().bits_per_document == pytest.approx(entropy_bits(texts(spec)), rel=1e-12)


def test_bits_of_a_sample_are_its_surprisal_and_frequencies_follow() -> None:
    probabilities = texts(SMALL)
    grammar = Grammar(*SMALL)
    samples = [grammar.sample(7, index) for index in range(4000)]
    for text, bits in samples[:500]:
        assert bits == pytest.approx(-math.log2(probabilities[text]), rel=1e-12)
    share = sum(text.startswith("In ") for text, _ in samples) / len(samples)
    assert share == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / len(samples)))


def test_a_document_depends_on_seed_and_index_alone() -> None:
    grammar = Grammar(*SMALL)
    in_order = [grammar.sample(3, index) for index in range(50)]
    assert [Grammar(*SMALL).sample(3, index) for index in reversed(range(50))] == in_order[::-1]
    assert [grammar.sample(4, index) for index in range(50)] != in_order


def test_an_ambiguous_grammar_is_seen_to_be_one() -> None:
    rules = {"TEXT": [Rule("a<B>"), Rule("ab")], "B": [Rule("b"), Rule("c")]}
    spec: Spec = ({}, {}, rules, "TEXT", {})
    assert len(list(derivations(spec, "ab"))) == 2
    with pytest.raises(ValueError, match="3 derivations of 2 texts"):
        texts(spec)
    assert Grammar(*spec).entropy().bits_per_document == 1.5  # of the derivations; the texts have only 0.81


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"TEXT": [Rule("{@colour}")]}, "colour"),
        ({"TEXT": [Rule("<NOWHERE>")]}, "NOWHERE"),
        ({"TEXT": [Rule("{villain!}")]}, "villain"),
        ({"TEXT": [Rule("x", when={"mood": "bad"})]}, "mood"),
        ({"TEXT": [Rule("x", 0)]}, "not positive"),
        ({"TEXT": [Rule("{hero}")]}, "before it is introduced"),
        ({"TEXT": [Rule("{hero!} {hero!}")]}, "introduced twice"),
        ({"TEXT": [Rule("x<TEXT>")]}, "derives itself"),
        ({"TEXT": [Rule("x", when={"sad": "yes"})]}, "no rule of 'TEXT' fits"),
    ],
)
def test_faulty_grammars_are_refused(rules: dict[str, list[Rule]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grammar(LEXICON, ROLES, rules, "TEXT", VALUES).entropy()


def test_toy_stories_have_one_derivation_whose_probability_is_recorded() -> None:
    grammar = toy.stories()
    for index in range(300):
        text, bits = grammar.sample(11, index)
        found = list(derivations(TOY, text))
        assert len(found) == 1, text
        assert bits == pytest.approx(-math.log2(found[0][0]), rel=1e-12)


def test_mean_surprisal_and_length_of_toy_stories_are_the_exact_ones() -> None:
    grammar = toy.stories()
    samples = [grammar.sample(0, index) for index in range(20_000)]
    entropy = grammar.entropy()
    for values, exact in (
        ([sample.bits for sample in samples], entropy.bits_per_document),
        ([float(len(sample.text.encode())) for sample in samples], entropy.bytes_per_document),
    ):
        assert statistics.fmean(values) == pytest.approx(exact, abs=4 * statistics.stdev(values) / math.sqrt(len(values)))
    assert len({sample.text for sample in samples}) == len(samples)


def test_a_derivation_knows_where_its_words_and_rules_stand() -> None:
    grammar = toy.stories()
    for index in range(200):
        story = Derivation(grammar, random.Random(f"6:{index}").random)
        assert (story.text, story.bits) == grammar.sample(6, index)
        for mention in story.mentions:
            assert story.text[mention.start : mention.stop] == story.cast[mention.role][mention.form]
        asked = next(used.start for used in story.used if used.symbol == "WHERE")
        assert re.match('"(I have it here|[A-Z][a-z]+ has it|The [a-z]+ has it|Nobody has it)[,."]', story.text[asked:])
        values = dict(toy.VALUES)
        for used in story.used:
            values |= used.then
        assert story.state.value("dream") == values["dream"]


def test_toy_stories_are_well_formed_english() -> None:
    grammar = toy.stories()
    for index in range(2000):
        text = grammar.sample(5, index).text
        assert not re.search(r"\b[Aa] [aeiouAEIOU]|\b[Aa]n [^aeiouAEIOU]|  |[{}<>@]| \n|\bthe the\b", text), text
        assert text.count('"') % 2 == 0
        assert all(re.match(r'["A-Z]', line) and re.search(r'[.!?]"?$', line) for line in text.split("\n")), text
