"""A proof by exhaustion that every text of the toy grammar has exactly one derivation.

Two derivations of one text agree up to some choice: of a rule, of a drawn word, of a role's word. So it is enough to take every
choice that a derivation can come to, and every two of its alternatives, and to show that no text continues both. Both
continuations are read side by side, character by character; nearly all of them part within a word.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import pytest

from stages.lm.corpus import toy
from stages.lm.corpus.grammar import Call, Draw, Grammar, Literal, Mention, Rule, State

END = Literal("\x03")


class Side(NamedTuple):
    """A derivation from some choice on: text still to be read, what is still to be derived, and the words of new roles."""

    pending: str
    agenda: tuple[Any, ...]
    state: State
    cast: Mapping[str, Any]


def choice_points(grammar: Grammar) -> Iterator[list[Side]]:
    """Every choice that a derivation can come to, as the list of its alternatives."""
    waiting = [((Call(grammar.start), END), grammar.initial)]
    seen = set()
    while waiting:
        agenda, state = waiting.pop()
        key = (repr(agenda), state)
        if not agenda or key in seen:
            continue
        seen.add(key)
        head, rest = agenda[0], agenda[1:]
        match head:
            case Call(symbol):
                sides = [
                    Side("", (*choice.parts, dict(choice.then), *rest), state, {}) for choice in grammar.choices(symbol, state)
                ]
                yield sides
                waiting += [(side.agenda, state) for side in sides]
            case Draw(category):
                yield [Side(word[""], rest, state, {}) for word in grammar.lexicon[category]]
                waiting.append((rest, state))
            case Mention(role, form, True):
                after = grammar.introduce(role, state)
                yield [Side(word[form], rest, after, {role: word}) for word in grammar.lexicon[grammar.roles[role]]]
                waiting.append((rest, after))
            case dict():
                waiting.append((rest, state.after(head)))
            case _:
                waiting.append((rest, state))


def steps(grammar: Grammar, side: Side, shared: dict[str, Any]) -> Iterator[tuple[Side, dict[str, Any]]]:
    """The ways to go on with a side that has nothing to be read; `shared` are words of roles from before the choice."""
    head, rest = side.agenda[0], side.agenda[1:]
    match head:
        case dict():
            yield side._replace(agenda=rest, state=side.state.after(head)), shared
        case Literal(text):
            yield side._replace(pending=text, agenda=rest), shared
        case Call(symbol):
            for choice in grammar.choices(symbol, side.state):
                yield side._replace(agenda=(*choice.parts, dict(choice.then), *rest)), shared
        case Draw(category):
            for word in grammar.lexicon[category]:
                yield side._replace(pending=word[""], agenda=rest), shared
        case Mention(name, form, introduces):
            role = side.state.value(name)
            state = grammar.introduce(role, side.state) if introduces else side.state
            cast = {**shared, **side.cast}
            for word in [cast[role]] if role in cast else grammar.lexicon[grammar.roles[role]]:
                if role not in cast and word in cast.values():
                    continue
                if introduces:
                    yield Side(word[form], rest, state, {**side.cast, role: word}), shared
                else:
                    known = shared if role in side.cast else {**shared, role: word}
                    yield Side(word[form], rest, state, side.cast), known


def agree(grammar: Grammar, one: Side, other: Side, shared: dict[str, Any]) -> bool:
    """Whether some text continues both sides to the end."""
    common = min(len(one.pending), len(other.pending))
    if one.pending[:common] != other.pending[:common]:
        return False
    one, other = one._replace(pending=one.pending[common:]), other._replace(pending=other.pending[common:])
    if not one.pending and one.agenda:
        return any(agree(grammar, side, other, known) for side, known in steps(grammar, one, shared))
    if not other.pending and other.agenda:
        return any(agree(grammar, one, side, known) for side, known in steps(grammar, other, shared))
    return not one.pending and not other.pending


def is_ambiguous(grammar: Grammar) -> bool:
    return any(
        agree(grammar, one, other, {}) for alternatives in choice_points(grammar) for one, other in combinations(alternatives, 2)
    )


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


def test_every_toy_story_has_exactly_one_derivation() -> None:
    assert not is_ambiguous(toy.stories())
