"""A proof by exhaustion that every text of the toy grammar has exactly one derivation.

Two derivations of one text agree up to some choice: of a rule, of a drawn word, of a role's word. So it is enough to take every
choice that a derivation can come to, and every two of its alternatives, and to show that no text continues both. Both
continuations are read side by side, character by character; nearly all of them part within a word.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import pytest

from stages.lm.corpus import toy
from stages.lm.corpus.grammar import Call, Choice, Draw, Grammar, Literal, Mention, Rule, State

END = Literal("\x03")


Cast = frozenset[tuple[str, int]]
"""Roles, each with the index of its word in its category."""


class Effect(NamedTuple):
    """A change of state that stands where its rule's text ends."""

    changes: tuple[tuple[str, str], ...]


class Side(NamedTuple):
    """A derivation from some choice on: text still to be read, what is still to be derived, and the words of new roles."""

    pending: str
    agenda: tuple[Any, ...]
    state: State
    cast: Cast = frozenset()


def expansion(choice: Choice) -> tuple[Any, ...]:
    return (*choice.parts, Effect(tuple(choice.then.items()))) if choice.then else choice.parts


def choice_points(grammar: Grammar) -> Iterator[list[Side]]:
    """Every choice that a derivation can come to, as the list of its alternatives."""
    waiting: list[tuple[tuple[Any, ...], State]] = [((Call(grammar.start), END), grammar.initial)]
    seen = set()
    while waiting:
        agenda, state = point = waiting.pop()
        if not agenda or point in seen:
            continue
        seen.add(point)
        head, rest = agenda[0], agenda[1:]
        match head:
            case Call(symbol):
                sides = [Side("", expansion(choice) + rest, state) for choice in grammar.choices(symbol, state)]
                yield sides
                waiting += [(side.agenda, state) for side in sides]
            case Draw(category):
                yield [Side(word[""], rest, state) for word in grammar.lexicon[category]]
                waiting.append((rest, state))
            case Mention(role, form, True):
                after, words = grammar.introduce(role, state), grammar.lexicon[grammar.roles[role]]
                yield [Side(word[form], rest, after, frozenset({(role, index)})) for index, word in enumerate(words)]
                waiting.append((rest, after))
            case Effect(changes):
                waiting.append((rest, state.after(dict(changes))))
            case _:
                waiting.append((rest, state))


def steps(grammar: Grammar, side: Side, shared: Cast) -> Iterator[tuple[Side, Cast]]:
    """The ways to go on with a side that has nothing to be read; `shared` are words of roles from before the choice."""
    head, rest = side.agenda[0], side.agenda[1:]
    match head:
        case Effect(changes):
            yield side._replace(agenda=rest, state=side.state.after(dict(changes))), shared
        case Literal(text):
            yield side._replace(pending=text, agenda=rest), shared
        case Call(symbol):
            for choice in grammar.choices(symbol, side.state):
                yield side._replace(agenda=expansion(choice) + rest), shared
        case Draw(category):
            for word in grammar.lexicon[category]:
                yield side._replace(pending=word[""], agenda=rest), shared
        case Mention(name, form, introduces):
            role = side.state.value(name)
            state = grammar.introduce(role, side.state) if introduces else side.state
            known = dict(shared | side.cast)
            taken = {index for other, index in known.items() if grammar.roles[other] == grammar.roles[role]}
            for index, word in enumerate(grammar.lexicon[grammar.roles[role]]):
                if known.get(role, index) != index or (role not in known and index in taken):
                    continue
                if introduces:
                    yield Side(word[form], rest, state, side.cast | {(role, index)}), shared
                else:
                    yield side._replace(pending=word[form], agenda=rest), shared if role in known else shared | {(role, index)}


class Reader:
    """Reads two derivations side by side, and remembers the pairs that no text continues."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.parted: set[tuple[Side, Side, Cast]] = set()

    def agree(self, one: Side, other: Side, shared: Cast = frozenset()) -> bool:
        """Whether some text continues both to the end."""
        common = min(len(one.pending), len(other.pending))
        if one.pending[:common] != other.pending[:common]:
            return False
        one, other = one._replace(pending=one.pending[common:]), other._replace(pending=other.pending[common:])
        if (one, other, shared) in self.parted:
            return False
        if not one.pending and one.agenda:
            found = any(self.agree(side, other, known) for side, known in steps(self.grammar, one, shared))
        elif not other.pending and other.agenda:
            found = any(self.agree(one, side, known) for side, known in steps(self.grammar, other, shared))
        else:
            found = not one.pending and not other.pending
        if not found:
            self.parted.add((one, other, shared))
        return found


def is_ambiguous(grammar: Grammar) -> bool:
    reader = Reader(grammar)
    return any(reader.agree(*pair) for alternatives in choice_points(grammar) for pair in combinations(alternatives, 2))


NAMES = {"name": [{"": "Al", "she": "he"}, {"": "Bo", "she": "he"}], "word": [{"": "a"}, {"": "ab"}]}
ROLES = {"hero": "name", "friend": "name"}


@pytest.mark.parametrize(
    ("rules", "ambiguous"),
    [
        ({"TEXT": [Rule("a<B>"), Rule("ab")], "B": [Rule("b"), Rule("c")]}, True),
        ({"TEXT": [Rule("a<B>"), Rule("ad")], "B": [Rule("b"), Rule("c")]}, False),
        ({"TEXT": [Rule("{hero!} met {friend!}."), Rule("{friend!} met {hero!}.")]}, True),
        ({"TEXT": [Rule("{hero!}, {friend!}: <WHO>")], "WHO": [Rule("{hero}"), Rule("{friend}")]}, False),
        ({"TEXT": [Rule("{hero!}, {friend!}: <WHO>")], "WHO": [Rule("{hero.she}"), Rule("{friend.she}")]}, True),
        ({"TEXT": [Rule("{hero!.she} came.")]}, True),
        ({"TEXT": [Rule("{hero!.she}: {hero}.")]}, False),
        ({"TEXT": [Rule("{@word}<B>")], "B": [Rule("b"), Rule("")]}, True),
        ({"TEXT": [Rule("{@word}<B>")], "B": [Rule("c"), Rule("")]}, False),
    ],
)
def test_the_proof_tells_ambiguous_grammars_from_others(rules: dict[str, list[Rule]], ambiguous: bool) -> None:
    assert is_ambiguous(Grammar(NAMES, ROLES, rules)) is ambiguous


def with_rule(symbol: str, rule: Rule) -> Grammar:
    """The toy grammar with one rule more."""
    return Grammar(toy.LEXICON, toy.ROLES, {**toy.RULES, symbol: [*toy.RULES[symbol], rule]}, "STORY", toy.VALUES)


@pytest.mark.parametrize(
    ("symbol", "rule", "ambiguous"),
    [
        ("FEELING", Rule(" It made {hero.him} very happy."), True),
        ("FEELING", Rule(" It made {hero.him} very hopeful."), False),
        ("SEARCH", Rule(" They ran after it, and {hero} was faster.", then=toy.HELD_BY_HERO), False),
        ("EVENING", Rule("At home {hero} ate two {@food}."), True),
    ],
)
def test_the_proof_sees_what_one_more_rule_does(symbol: str, rule: Rule, ambiguous: bool) -> None:
    assert is_ambiguous(with_rule(symbol, rule)) is ambiguous


def test_every_toy_story_has_exactly_one_derivation() -> None:
    assert not is_ambiguous(toy.stories())
