"""Project 1.1: pre-tokenization, training of byte pairs, encoding, streams, decoding (R8 to R15)."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from stages.lm.bpe.reference import train as reference_train
from stages.lm.grading.checks.check import Adapters, Check, Given
from stages.lm.grading.checks.texts import doubled_words, plain_lines, prose, untied_words, written

END = "<|endoftext|>"
COURSE_TEXT = f"intj intj intj intj intj tech tech{END}\n\nHéllò hôw {END}{END} are ü?"
COURSE_WORDS = Counter({"low": 5, "lower": 2, "widest": 3, "newest": 6})
COURSE_VOCAB = dict(enumerate([b" ", b"a", b"c", b"e", b"h", b"t", b"th", b" c", b" a", b"the", b" at"]))
COURSE_MERGES = [(b"t", b"h"), (b" ", b"c"), (b" ", b"a"), (b"th", b"e"), (b" a", b"t")]
MERGES = 11


def train_given(text: str, vocab_size: int, special_tokens: list[str]) -> Given:
    return {"text": text, "vocab_size": vocab_size, "special_tokens": special_tokens}


def trained(adapters: Adapters, given: Given) -> Any:
    """What training gives, whatever ids it chose: the merges in order and the tokens."""
    Path("corpus.txt").write_text(given["text"], encoding="utf-8", newline="")
    vocab, merges = adapters.train_bpe("corpus.txt", given["vocab_size"], list(given["special_tokens"]))
    ids, tokens = sorted(vocab), sorted(bytes(token) for token in vocab.values())
    return {"merges": [list(pair) for pair in merges], "number of tokens": len(vocab), "tokens": tokens, "ids": ids}


def tokenizer(adapters: Adapters, given: Given) -> Any:
    merges = [tuple(pair) for pair in given["merges"]]
    return adapters.build_tokenizer(dict(given["vocab"]), merges, given["special_tokens"])


@cache
def learned(seed: int) -> dict[str, Any]:
    """A vocabulary and its merges, for checks of encoding: what the submission trains itself is another matter."""
    rng = random.Random(seed)
    counts = Counter(word.encode() for word in re.findall(r" ?\w+|\s+|[^\w\s]+", prose(rng, 2000)))
    vocab, merges = reference_train(counts, 256 + 120, [])
    return {"vocab": vocab, "merges": merges}


def encode_given(rng: random.Random, special_tokens: list[str] | None, **more: Any) -> Given:
    """A tokenizer whose vocabulary holds its special tokens."""
    known = learned(rng.getrandbits(30))
    vocab = known["vocab"] | {376 + place: token.encode() for place, token in enumerate(special_tokens or [])}
    return {"vocab": vocab, "merges": known["merges"], "special_tokens": special_tokens, **more}


def encoded(adapters: Adapters, given: Given) -> Any:
    return list(tokenizer(adapters, given).encode(given["text"]))


# Pre-tokenization


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


# Training


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


def size_of_vocabulary(answer: Any, _given: Given) -> Any:
    """Ties are another check's."""
    return answer["number of tokens"]


# Encoding and decoding


def encode_cases(rng: random.Random) -> dict[str, Given]:
    course = {"vocab": COURSE_VOCAB, "merges": COURSE_MERGES, "special_tokens": None, "text": "the cat ate"}
    return {
        "the course's example": course,
        "a hidden text": encode_given(rng, None, text=prose(rng, 300)),
        "characters the training never saw": encode_given(rng, None, text="ζ𝄞 한국어 \x00\x7f ﷽"),
        "no text": encode_given(rng, None, text=""),
    }


def special_cases(rng: random.Random) -> dict[str, Given]:
    text = f"{prose(rng, 5)}{END}{END}{prose(rng, 5)}{END}"
    return {
        "a special token inside a text": encode_given(rng, [END], text=f"ab{END}cd {END} ef"),
        "one special token that begins with another": encode_given(rng, [END, END * 2], text=text),
        "a special token with signs of regular expressions": encode_given(rng, ["[a.]*"], text="x[a.]*y aaa [b]"),
        "special tokens that were not asked for": encode_given(rng, None, text=f"ab{END}cd"),
    }


def missing_cases(rng: random.Random) -> dict[str, Given]:
    known = encode_given(rng, None, text=f"a{END}b<|new|>c")
    return {"two special tokens that the vocabulary lacks": {**known, "special_tokens": [END, "<|new|>"]}}


def encoded_with_missing(adapters: Adapters, given: Given) -> Any:
    mine = list(given["special_tokens"])
    ids = encoded(adapters, {**given, "special_tokens": mine})
    return {"the ids": ids, "the caller's list of special tokens afterwards": mine}


def stream_cases(rng: random.Random) -> dict[str, Given]:
    def cut(text: str, places: list[int]) -> list[str]:
        return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]

    lines = "one\n\ntwo \n three\n\n\nfour\n \nfive\n"
    hidden = prose(rng, 200)
    cuts = sorted(rng.sample(range(1, len(hidden)), 40))
    return {
        "line by line, with empty lines": encode_given(rng, [END], chunks=lines.splitlines(keepends=True)),
        "white space before a special token": encode_given(rng, [END], chunks=["one\n", f"\n{END}two", "\n\n"]),
        "a hidden text cut anywhere": encode_given(rng, [END], chunks=cut(hidden, cuts)),
        "a special token in two chunks": encode_given(rng, [END], chunks=["ab<|endof", "text|>cd"]),
    }


def streamed(adapters: Adapters, given: Given) -> Any:
    return list(tokenizer(adapters, given).encode_iterable(iter(given["chunks"])))


def memory_cases(rng: random.Random) -> dict[str, Given]:
    lines = plain_lines(rng, 2000).upper().splitlines(keepends=True)  # hardly any merges: an id for each character
    return {"600,000 characters in lines": encode_given(rng, None, lines=lines, times=50)}


def counted(adapters: Adapters, given: Given) -> Any:
    """How many ids there are, without keeping them."""
    chunks: Iterator[str] = (line for _ in range(given["times"]) for line in given["lines"])
    return sum(1 for _ in tokenizer(adapters, given).encode_iterable(chunks))


def decode_cases(rng: random.Random) -> dict[str, Given]:
    text = prose(rng, 100)
    whole = list(text.encode())
    return {
        "a hidden text, byte by byte": encode_given(rng, None, ids=whole),
        "tokens of several bytes": encode_given(rng, [END], ids=[rng.randrange(256, 377) for _ in range(50)]),
        "half a character": encode_given(rng, None, ids=list("a🌍b".encode()[:3])),
        "bytes that are no UTF-8": encode_given(rng, None, ids=[0xFF, 0xC3, 0x28, 0xE4, 0xBD]),
    }


def decoded(adapters: Adapters, given: Given) -> Any:
    return tokenizer(adapters, given).decode(list(given["ids"]))


def files_cases(rng: random.Random) -> dict[str, Given]:
    known = encode_given(rng, [END], text=f"{prose(rng, 100)}{END}\xa0 \x00")
    return {"a tokenizer of 377 tokens": known}


def saved_and_loaded(adapters: Adapters, given: Given) -> Any:
    """The ids by what was read again."""
    merges = [tuple(pair) for pair in given["merges"]]
    Path("saved").mkdir(exist_ok=True)
    adapters.save_tokenizer(dict(given["vocab"]), merges, "saved")
    return list(adapters.load_tokenizer("saved", list(given["special_tokens"])).encode(given["text"]))


CHECKS = {
    "pretokenization": Check(pretokenize_cases, pretokenized),
    "train.merges": Check(merges_cases, trained),
    "train.ties": Check(ties_cases, trained),
    "train.overlaps": Check(overlaps_cases, trained),
    "train.exhausted": Check(exhausted_cases, trained),
    "train.special_tokens": Check(special_training_cases, trained),
    "train.speed": Check(speed_cases, trained, size_of_vocabulary),
    "tokenizer.files": Check(files_cases, saved_and_loaded),
    "encode.merges": Check(encode_cases, encoded),
    "encode.special_tokens": Check(special_cases, encoded),
    "encode.missing_special_tokens": Check(missing_cases, encoded_with_missing),
    "encode.stream": Check(stream_cases, streamed),
    "encode.stream_memory": Check(memory_cases, counted),
    "decode": Check(decode_cases, decoded),
}
