"""Project 1.1: pre-tokenization and training of byte pairs (R8 to R11)."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

from stages.lm.grading.checks.check import Adapters, Check, Given
from stages.lm.grading.checks.texts import END, doubled_words, plain_lines, prose, untied_words, written

COURSE_WORDS = Counter({"low": 5, "lower": 2, "widest": 3, "newest": 6})
MERGES = 11
"""How many are asked for of words that never tie."""


def pretokenize_cases(rng: random.Random) -> dict[str, Given]:
    return {
        "a sentence of the course": {"text": "some text that i'll pre-tokenize"},
        "contractions, numbers and signs": {"text": "They've said: it's 1905, isn't it?! (Don't!)"},
        "spaces before words and at the end": {"text": "a  b   c \n\n d\n \ne\t\tf  "},
        "other scripts": {"text": "Straße naïve 你好 мир 🌍🎉 ½ ²"},
        "a hidden text": {"text": prose(rng, 200)},
    }


def pretokenized(adapters: Adapters, given: Given) -> Any:
    return list(adapters.pretokenize(given["text"]))


def train_given(text: str, vocab_size: int, special_tokens: list[str]) -> Given:
    return {"text": text, "vocab_size": vocab_size, "special_tokens": special_tokens}


def trained(adapters: Adapters, given: Given) -> Any:
    """What training gives, whatever ids it chose: the merges in order and the tokens."""
    Path("corpus.txt").write_text(given["text"], encoding="utf-8", newline="")
    vocab, merges = adapters.train_bpe("corpus.txt", given["vocab_size"], list(given["special_tokens"]))
    ids, tokens = sorted(vocab), sorted(bytes(token) for token in vocab.values())
    return {"merges": [list(pair) for pair in merges], "number of tokens": len(vocab), "tokens": tokens, "ids": ids}


def merges_cases(rng: random.Random) -> dict[str, Given]:
    hidden = {f"hidden words {name}": untied_words(rng, MERGES) for name in ("A", "B", "C")}
    return {name: train_given(written(words, rng), 256 + 1 + MERGES, [END]) for name, words in hidden.items()}


def ties_cases(rng: random.Random) -> dict[str, Given]:
    letters = "abxyzéß你 0"
    tied = Counter({f"{rng.choice(['', ' '])}{''.join(rng.choices(letters[:-2], k=3))}": 2 for _ in range(40)})
    later = Counter({word * 2: 3 for word in ("ab", "ba", "Zq", "qZ", "é", "1", "~a")})
    return {
        "the course's toy corpus": train_given(written(COURSE_WORDS, rng), 256 + 1 + 12, [END]),
        "pairs of bytes and of other scripts": train_given(written(tied, rng), 256 + 1 + 25, [END]),
        "pairs of longer tokens": train_given(written(later, rng), 256 + 1 + 9, [END]),
    }


def overlaps_cases(rng: random.Random) -> dict[str, Given]:
    hidden = {f"hidden words {name}": doubled_words(rng, 5) for name in ("A", "B")}
    return {name: train_given(written(words, rng), 256 + 1 + 5, [END]) for name, words in hidden.items()}


def exhausted_cases(rng: random.Random) -> dict[str, Given]:
    words = untied_words(rng, MERGES)
    one = Counter({"ab": 3})
    return {
        "a vocabulary of 1000 from one word": train_given(written(one, rng), 1000, [END]),
        "no room for any merge": train_given(written(words, rng), 257, [END]),
        "room for exactly one merge": train_given(written(one, rng), 258, [END]),
    }


def special_training_cases(rng: random.Random) -> dict[str, Given]:
    words = [untied_words(rng, MERGES) for _ in range(4)]
    return {
        "words joined by a special token": train_given(written(words[0], rng, END), 256 + 1 + MERGES, [END]),
        "a special token with signs of regular expressions": train_given(
            written(words[1], rng, "(a|b)*"), 256 + 1 + MERGES, ["(a|b)*"]
        ),
        "two special tokens": train_given(written(words[2], rng, f"{END}<|pad|>"), 256 + 2 + MERGES, [END, "<|pad|>"]),
        "no special tokens": train_given(written(words[3], rng), 256 + MERGES, []),
    }


def speed_cases(rng: random.Random) -> dict[str, Given]:
    return {"120 KB of words": train_given(plain_lines(rng, 20_000), 1000, [END])}


def compression(answer: Any, given: Given) -> Any:
    """How many tokens there are, and of how many the text then consists: which pairs won ties is another check's."""
    from stages.lm.bpe.tokenizer import Tokenizer  # in the grader alone, as in `texts`

    merges = [(one, other) for one, other in answer["merges"][: given["vocab_size"]]]
    vocab = dict(enumerate([*(bytes([byte]) for byte in range(256)), *(one + other for one, other in merges)]))
    return {
        "number of tokens": answer["number of tokens"],
        "tokens of the text": len(Tokenizer(vocab, merges).encode(given["text"])),
    }


CHECKS = {
    "pretokenization": Check(pretokenize_cases, pretokenized),
    "train.merges": Check(merges_cases, trained),
    "train.ties": Check(ties_cases, trained),
    "train.overlaps": Check(overlaps_cases, trained),
    "train.exhausted": Check(exhausted_cases, trained),
    "train.special_tokens": Check(special_training_cases, trained),
    "train.speed": Check(speed_cases, trained, compression),
}
