"""Stochastic grammars with a small symbolic state, whose entropy is known exactly.

A grammar is a set of rules `symbol -> text`. A rule may be used only where the state meets its condition, and changes the
state when its text is done; derivation is leftmost, so the state threads through the text from left to right. In a text,

    <SCENE>            derives the symbol SCENE
    {@weather}         is a word drawn uniformly from the category `weather`
    {hero!}            introduces the role `hero`: a word drawn uniformly from those of its category that no role holds yet
    {hero} {hero.she}  mention that word again, plainly or in one of its forms
    {holder}           mentions the role that the state variable `holder` names

No symbol derives itself, so there are finitely many derivations, and expectations over them follow by recursion on (symbol,
state). Where every text has exactly one derivation, the entropy of the derivations is the entropy of the texts, and the
surprisal of a text is the sum of the surprisals of the choices in its derivation (Grenander 1967; Soule 1974, "Entropies of
probabilistic grammars", for the case without a state).
"""

import math
import random
import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

Word = Mapping[str, str]
"""A lexicon entry: the word's forms by name; the form "" is the word itself."""


@dataclass(frozen=True)
class Rule:
    """One expansion of a symbol: chosen in proportion to `weight` among the rules whose `when` the state meets."""

    text: str
    weight: float = 1.0
    when: Mapping[str, str] = field(default_factory=dict)
    then: Mapping[str, str] = field(default_factory=dict)


class State(NamedTuple):
    """What the derivation so far has settled: the variables' values, and the roles that hold a word."""

    values: tuple[tuple[str, str], ...]
    bound: frozenset[str] = frozenset()

    def value(self, name: str) -> str:
        """The value of the variable `name`, or `name` itself where there is none: a role speaks for itself."""
        return next((value for variable, value in self.values if variable == name), name)

    def after(self, changes: Mapping[str, str]) -> "State":
        return State(tuple((name, changes.get(name, value)) for name, value in self.values), self.bound)


class Literal(NamedTuple):
    text: str


class Call(NamedTuple):
    symbol: str


class Draw(NamedTuple):
    category: str


class Mention(NamedTuple):
    role: str
    form: str
    introduces: bool


Part = Literal | Call | Draw | Mention

PART = re.compile(r"<(?P<symbol>[A-Z_0-9]+)>|\{@(?P<category>\w+)\}|\{(?P<role>\w+)(?P<new>!?)(?:\.(?P<form>\w+))?\}")


def parts_of(text: str) -> tuple[Part, ...]:
    """The text of a rule, taken apart."""
    parts: list[Part] = []
    end = 0
    for match in PART.finditer(text):
        if match.start() > end:
            parts.append(Literal(text[end : match.start()]))
        end = match.end()
        if match["symbol"]:
            parts.append(Call(match["symbol"]))
        elif match["category"]:
            parts.append(Draw(match["category"]))
        else:
            parts.append(Mention(match["role"], match["form"] or "", bool(match["new"])))
    if end < len(text):
        parts.append(Literal(text[end:]))
    return tuple(parts)


class Choice(NamedTuple):
    """A rule that may be used in some state, with its probability there."""

    probability: float
    parts: tuple[Part, ...]
    then: Mapping[str, str]


class Outcome(NamedTuple):
    """What deriving a symbol leads to: end states with probabilities, and the expected bits and UTF-8 bytes of its text."""

    ends: Mapping[State, float]
    bits: float
    bytes: float


class Sample(NamedTuple):
    """A derived text and its surprisal in bits: minus the base-2 logarithm of its derivation's probability."""

    text: str
    bits: float


class Mentioned(NamedTuple):
    """A mention in a derived text: of which role, in which form, as the characters from `start` to `stop`."""

    role: str
    form: str
    start: int
    stop: int


class Used(NamedTuple):
    """A rule in a derivation: its symbol, the character where its text begins, and what it changes in the state."""

    symbol: str
    start: int
    then: Mapping[str, str]


class Entropy(NamedTuple):
    """Expectations over the texts of a grammar, exact up to rounding."""

    bits_per_document: float
    bytes_per_document: float

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of a long run of documents: the floor of every model's loss."""
        return self.bits_per_document / self.bytes_per_document


class Grammar:
    """Rules over a lexicon.

    lexicon: the words of each category; roles: the category of each role; values: the state's variables where a derivation
    begins, each by its value; start: the symbol it begins with. Raises ValueError where a rule names something unknown.
    """

    def __init__(
        self,
        lexicon: Mapping[str, Sequence[Word]],
        roles: Mapping[str, str],
        rules: Mapping[str, Sequence[Rule]],
        start: str = "TEXT",
        values: Mapping[str, str] | None = None,
    ) -> None:
        self.lexicon, self.roles, self.start = lexicon, roles, start
        self.rules = {symbol: [(rule, parts_of(rule.text)) for rule in options] for symbol, options in rules.items()}
        self.initial = State(tuple(sorted((values or {}).items())))
        self._choices: dict[tuple[str, State], tuple[list[float], list[Choice]]] = {}
        self._outcomes: dict[tuple[str, State], Outcome | None] = {}
        self._mean_bytes: dict[tuple[str, str], float] = {}
        self._check_names()

    def choices(self, symbol: str, state: State) -> list[Choice]:
        """The rules that may expand `symbol` in `state`, with their probabilities there."""
        return self._weighted_choices(symbol, state)[1]

    def category(self, mention: Mention, state: State) -> str:
        """The category of the word that a mention refers to."""
        return self.roles[state.value(mention.role)]

    def candidates(self, role: str, state: State) -> int:
        """How many words are left for a role when it is introduced."""
        category = self.roles[role]
        return len(self.lexicon[category]) - sum(self.roles[bound] == category for bound in state.bound)

    def introduce(self, role: str, state: State) -> State:
        """The state once `role` holds a word. Raises ValueError if it does already, or if no word is left for it."""
        if role in state.bound or self.candidates(role, state) < 1:
            raise ValueError(f"role {role!r} is introduced twice, or its category has too few words")
        return State(state.values, state.bound | {role})

    def entropy(self) -> Entropy:
        """Expected bits and bytes of a text, by recursion over (symbol, state). Raises ValueError on a faulty grammar."""
        outcome = self.outcome(self.start, self.initial)
        return Entropy(outcome.bits, outcome.bytes)

    def outcome(self, symbol: str, state: State) -> Outcome:
        """The expectations of one symbol derived in one state.

        A role's word is uniform over its category whatever the other roles hold and independent of the choice of rules, so
        that a mention adds its category's mean length.
        """
        if (symbol, state) in self._outcomes:
            known = self._outcomes[symbol, state]
            if known is None:
                raise ValueError(f"symbol {symbol!r} derives itself")
            return known
        self._outcomes[symbol, state] = None  # begun
        ends: dict[State, float] = defaultdict(float)
        bits = length = 0.0
        for choice in self.choices(symbol, state):
            bits -= choice.probability * math.log2(choice.probability)
            reached: Mapping[State, float] = {state: choice.probability}
            for part in choice.parts:
                done = [(probability, self._part_outcome(part, before)) for before, probability in reached.items()]
                bits += sum(probability * outcome.bits for probability, outcome in done)
                length += sum(probability * outcome.bytes for probability, outcome in done)
                reached = _mixture(done)
            for end, probability in reached.items():
                ends[end.after(choice.then)] += probability
        result = self._outcomes[symbol, state] = Outcome(ends, bits, length)
        return result

    def sample(self, seed: int, index: int) -> Sample:
        """Document `index` of the corpus with `seed`: a function of the two, whatever else was sampled before."""
        derived = Derivation(self, random.Random(f"{seed}:{index}").random)
        return Sample(derived.text, derived.bits)

    def _part_outcome(self, part: Part, state: State) -> Outcome:
        match part:
            case Literal(text):
                return Outcome({state: 1.0}, 0.0, len(text.encode()))
            case Call(symbol):
                return self.outcome(symbol, state)
            case Draw(category):
                return Outcome({state: 1.0}, math.log2(len(self.lexicon[category])), self._mean_length(category, ""))
            case Mention(role, form, introduces):
                length = self._mean_length(self.category(part, state), form)
                if introduces:
                    bits = math.log2(self.candidates(role, state))
                    return Outcome({self.introduce(role, state): 1.0}, bits, length)
                if state.value(role) not in state.bound:
                    raise ValueError(f"role {role!r} is mentioned before it is introduced")
                return Outcome({state: 1.0}, 0.0, length)

    def _mean_length(self, category: str, form: str) -> float:
        """The mean UTF-8 length of a form of a category's words."""
        words = self.lexicon[category]
        if (category, form) not in self._mean_bytes:
            self._mean_bytes[category, form] = sum(len(word[form].encode()) for word in words) / len(words)
        return self._mean_bytes[category, form]

    def _weighted_choices(self, symbol: str, state: State) -> tuple[list[float], list[Choice]]:
        known = self._choices.get((symbol, state))
        if known is not None:
            return known
        values = dict(state.values)
        fitting = [
            (rule, parts) for rule, parts in self.rules[symbol] if all(values[name] == value for name, value in rule.when.items())
        ]
        if not fitting:
            raise ValueError(f"no rule of {symbol!r} fits the state {values}")
        total = sum(rule.weight for rule, _ in fitting)
        choices = [Choice(rule.weight / total, parts, rule.then) for rule, parts in fitting]
        result = self._choices[symbol, state] = (list(accumulate(choice.probability for choice in choices)), choices)
        return result

    def _check_names(self) -> None:
        variables = {name for name, _ in self.initial.values}
        for symbol, options in self.rules.items():
            for rule, parts in options:
                faults = [repr(part) for part in parts if not self._known(part, variables)]
                faults += [name for name in [*rule.when, *rule.then] if name not in variables]
                if faults or rule.weight <= 0:
                    raise ValueError(f"rule {symbol} -> {rule.text!r}: {', '.join(faults) or 'its weight is not positive'}")

    def _known(self, part: Part, variables: set[str]) -> bool:
        match part:
            case Call(symbol):
                return symbol in self.rules
            case Draw(category):
                return bool(self.lexicon.get(category))
            case Mention(role, _, introduces):
                return role in self.roles or (role in variables and not introduces)
            case Literal():
                return True


class Derivation:
    """One leftmost derivation: its text, and how it came about. Its choices are made by uniform numbers in [0, 1)."""

    def __init__(self, grammar: Grammar, uniform: Callable[[], float]) -> None:
        self.grammar, self.uniform = grammar, uniform
        self.state = grammar.initial
        self.cast: dict[str, Word] = {}
        self.mentions: list[Mentioned] = []
        self.used: list[Used] = []
        self.bits = 0.0
        self._pieces: list[str] = []
        self._length = 0
        self._derive(grammar.start)
        self.text = "".join(self._pieces)

    def _derive(self, symbol: str) -> None:
        cumulative, choices = self.grammar._weighted_choices(symbol, self.state)
        choice = choices[min(bisect(cumulative, self.uniform()), len(choices) - 1)]
        self.bits -= math.log2(choice.probability)
        self.used.append(Used(symbol, self._length, choice.then))
        for part in choice.parts:
            match part:
                case Literal(text):
                    self._write(text)
                case Call(symbol):
                    self._derive(symbol)
                case Draw(category):
                    self._write(self._pick(self.grammar.lexicon[category])[""])
                case Mention(role, form, introduces):
                    if introduces:
                        self._introduce(role)
                    self._mention(self.state.value(role), form)
        if choice.then:
            self.state = self.state.after(choice.then)

    def _write(self, piece: str) -> None:
        self._pieces.append(piece)
        self._length += len(piece)

    def _mention(self, role: str, form: str) -> None:
        word = self.cast[role][form]
        self.mentions.append(Mentioned(role, form, self._length, self._length + len(word)))
        self._write(word)

    def _introduce(self, role: str) -> None:
        held = [id(word) for word in self.cast.values()]
        free = [word for word in self.grammar.lexicon[self.grammar.roles[role]] if id(word) not in held]
        self.cast[role] = self._pick(free)
        self.state = self.grammar.introduce(role, self.state)

    def _pick(self, words: Sequence[Word]) -> Word:
        self.bits += math.log2(len(words))
        return words[int(self.uniform() * len(words))]


def _mixture(outcomes: Sequence[tuple[float, Outcome]]) -> dict[State, float]:
    ends: dict[State, float] = defaultdict(float)
    for weight, outcome in outcomes:
        for state, probability in outcome.ends.items():
            ends[state] += weight * probability
    return ends
