"""Hidden texts for tokenizers: some in which no two pairs are ever equally frequent, others full of what is easily got wrong."""

import random
import string
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

END = "<|endoftext|>"
WORDS = """the of and to in was that his her with for she said not they little one day big was very so happy went play saw
friend mother house tree garden bird don't it's we'll they've I'm he'd numbers 7 42 1905 3.14 naïve café Straße 你好 мир 🌍 🎉"""
GAPS = [" ", " ", " ", " ", " ", ", ", ". ", "\n", "\n\n", "  ", " \n ", "\t", "! ", "... ", " - ", "\n\n\n"]


def prose(rng: random.Random, words: int) -> str:
    """Words, numbers, contractions and other scripts, with all kinds of gaps between them."""
    known = WORDS.split()
    return "".join(rng.choice(known) + rng.choice(GAPS) for _ in range(words))


def plain_lines(rng: random.Random, words: int) -> str:
    """One word a line, of which some are far more frequent: wherever it is cut after a line, the tokens are the same."""
    known = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(3000)]
    weights = [1 / (place + 1) for place in range(len(known))]
    return "".join(f"{word}\n" for word in rng.choices(known, weights, k=words))


def untied_words(rng: random.Random, merges: int) -> Counter[str]:
    """How often each of some words occurs, so that no two pairs are equally frequent in the first `merges` merges."""
    while True:
        letters = rng.sample(string.ascii_lowercase + string.ascii_uppercase, 16)
        words = {one + other: rng.randint(20, 200) for one, other in zip(letters[::2], letters[1::2], strict=True)}
        for count in (4, 2):  # longer words are made of the last ones
            last = list(words)[-2 * count :]
            words |= {one + other: rng.randint(5, 60) for one, other in zip(last[::2], last[1::2], strict=True)}
        words |= {rng.choice("éüñ") + letters[0]: rng.randint(5, 60), rng.choice("éüñ"): rng.randint(100, 200)}
        if not has_ties(words, merges):
            return Counter(words)


def doubled_words(rng: random.Random, merges: int) -> Counter[str]:
    """The same of words of one letter again and again, and of two that take turns."""
    while True:
        one, two, three = rng.sample(string.ascii_lowercase, 3)
        words = {one * length: rng.randint(5, 60) for length in range(2, 8)}
        words |= {(two + three) * length: rng.randint(5, 60) for length in range(1, 5)}
        if not has_ties(words, merges):
            return Counter(words)


def has_ties(words: Mapping[str, int], merges: int) -> bool:
    """Whether two pairs are ever equally frequent among the most frequent ones, or nothing is left to merge too early."""
    from stages.lm.bpe.reference import merge, train  # in the grader alone: a submission's process holds this file

    counts = {word.encode(): count for word, count in words.items()}
    _, learned = train(counts, 256 + merges, [])
    symbols = {word: [bytes([byte]) for byte in word] for word in counts}
    for pair in learned:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, parts in symbols.items():
            for found in pairwise(parts):
                pairs[found] += counts[word]
        if list(pairs.values()).count(max(pairs.values())) > 1:
            return True
        symbols = {word: merge(parts, pair) for word, parts in symbols.items()}
    return len(learned) < merges


def written(words: Counter[str], rng: random.Random, separator: str = "\n") -> str:
    """A text of these words in any order."""
    every = list(words.elements())
    rng.shuffle(every)
    return separator.join(every)
