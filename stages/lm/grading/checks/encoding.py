"""Project 1.1: encoding, streams, decoding and files (R11 to R15)."""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from stages.lm.grading.checks.check import Adapters, Check, Given
from stages.lm.grading.checks.texts import END, plain_lines, prose

COURSE_VOCAB = dict(enumerate([b" ", b"a", b"c", b"e", b"h", b"t", b"th", b" c", b" a", b"the", b" at"]))
COURSE_MERGES = [(b"t", b"h"), (b" ", b"c"), (b" ", b"a"), (b"th", b"e"), (b" a", b"t")]


def tokenizer(adapters: Adapters, given: Given) -> Any:
    merges = [tuple(pair) for pair in given["merges"]]
    return adapters.build_tokenizer(dict(given["vocab"]), merges, given["special_tokens"])


@cache
def learned(seed: int) -> dict[str, Any]:
    """A vocabulary and its merges, for checks of encoding: what the submission trains itself is another matter."""
    from stages.lm.bpe.reference import train  # in the grader alone: a submission's process holds this file, and no right answer

    rng = random.Random(seed)
    counts = Counter(word.encode() for word in re.findall(r" ?\w+|\s+|[^\w\s]+", prose(rng, 2000)))
    vocab, merges = train(counts, 256 + 120, [])
    return {"vocab": vocab, "merges": merges}


def encode_given(rng: random.Random, special_tokens: list[str] | None, **more: Any) -> Given:
    """A tokenizer whose vocabulary holds its special tokens."""
    known = learned(rng.getrandbits(30))
    vocab = known["vocab"] | {376 + place: token.encode() for place, token in enumerate(special_tokens or [])}
    return {"vocab": vocab, "merges": known["merges"], "special_tokens": special_tokens, **more}


def encoded(adapters: Adapters, given: Given) -> Any:
    return list(tokenizer(adapters, given).encode(given["text"]))


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
    """How many ids there are and the hash of all, without keeping them."""
    chunks: Iterator[str] = (line for _ in range(given["times"]) for line in given["lines"])
    count, digest = 0, hashlib.sha256()
    for token in tokenizer(adapters, given).encode_iterable(chunks):
        count += 1
        digest.update(b"%d " % token)
    return {"how many ids": count, "their SHA-256": digest.hexdigest()}


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
    "tokenizer.files": Check(files_cases, saved_and_loaded),
    "encode.merges": Check(encode_cases, encoded),
    "encode.special_tokens": Check(special_cases, encoded),
    "encode.missing_special_tokens": Check(missing_cases, encoded_with_missing),
    "encode.stream": Check(stream_cases, streamed),
    "encode.stream_memory": Check(memory_cases, counted),
    "decode": Check(decode_cases, decoded),
}
