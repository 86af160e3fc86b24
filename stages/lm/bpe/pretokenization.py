r"""Pre-tokenization: text into words that no merge ever crosses, cut first at special tokens.

The patterns are GPT-2's (Radford et al. 2019) and those of the cl100k and o200k vocabularies as published in `tiktoken`,
written so that `regex`, Oniguruma (`tokenizers`) and Rust's fancy-regex (`tiktoken`) read them alike.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import regex

from stages.lm.errors import UserError

_CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s+(?![\s\S])|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + _CONTRACTION + "|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _CONTRACTION + "|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}

WORDS, CHARACTERS = r"\w+|.", r"[\s\S]"
"""The words and the characters of a text, for tokenizers that don't learn merges."""
_CUT_SAFELY = {*PATTERNS, *PATTERNS.values(), WORDS, CHARACTERS}

# Between a letter and a space before a letter, between a letter and punctuation other than the apostrophe (contractions) and
# connectors (`_` belongs to words), and after a single newline before a letter or digit, each pattern above ends a word whatever
# stands further left or right. (?r) searches backwards: the first match is the last one in the text.
_SAFE_CUT = regex.compile(r"(?r)(?<=\p{L})(?= \p{L}|(?!['\p{Pc}])\p{P})|(?<=\S\n)(?=[\p{L}\p{N}])")


@cache
def compile_pattern(pattern: str) -> Any:
    """The compiled pattern of that name, or of that regular expression. Raises UserError where it is neither."""
    try:
        return regex.compile(PATTERNS.get(pattern, pattern))
    except regex.error as error:
        raise UserError(f"pattern {pattern!r}: is neither {', '.join(PATTERNS)} nor a valid regex ({error})") from None


def find_words(pattern: Any, text: str) -> list[str]:
    """The words of `text`: the matches of a compiled pattern, and whatever stands between them, so that nothing is lost."""
    if pattern.groups == 0:
        words: list[str] = pattern.findall(text)
        if sum(map(len, words)) == len(text) and all(words):
            return words
    words, end = [], 0
    for match in pattern.finditer(text):
        words += [text[end : match.start()], match.group()]
        end = match.end()
    return [word for word in [*words, text[end:]] if word]


@cache
def special_pattern(special_tokens: frozenset[str]) -> re.Pattern[str] | None:
    """Matches any of the special tokens, the longest where several begin; None where there are none."""
    longest_first = sorted(special_tokens, key=lambda token: (-len(token), token))
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if special_tokens else None


def split_specials(text: str, specials: re.Pattern[str] | None) -> list[str]:
    """Text and special tokens in turn: items 0, 2, 4, ... are text (maybe empty), items 1, 3, ... special tokens."""
    return specials.split(text) if specials else [text]


def stream_pieces(chunks: Iterable[str], special_tokens: Sequence[str], pattern: str) -> Iterator[str]:
    """Cut chunked text anew, where the words and special tokens on both sides do not depend on each other.

    Encoding the pieces one by one gives what encoding the whole text gives. What cannot be cut yet is held back: with one of
    the named patterns some words, with another regex, of which nothing is known, the text up to the next special token.
    """
    specials = special_pattern(frozenset(special_tokens))
    longest = max(map(len, special_tokens), default=1)
    held: list[str] = []
    size = enough = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size <= enough:
            continue
        text = "".join(held)
        cut = _last_cut(text, specials, len(text) - longest + 1, pattern in _CUT_SAFELY)
        if cut:
            yield text[:cut]
        held, size = [text[cut:]], len(text) - cut
        # Looking again only when the text has doubled keeps the cost linear in a text that offers no cut.
        enough = 0 if cut else 2 * size
    yield "".join(held)


def safe_cut(data: bytes, begin: int, end: int) -> int:
    """The last position from `begin` to `end` where UTF-8 text may be cut with any of the named patterns; 0 if none."""
    while begin < end and data[begin] & 0xC0 == 0x80:
        begin += 1
    text = data[begin:end].decode("utf-8", "surrogateescape")
    found = _SAFE_CUT.search(text)
    return begin + len(text[: found.start()].encode("utf-8", "surrogateescape")) if found else 0


def _last_cut(text: str, specials: re.Pattern[str] | None, decided: int, named: bool) -> int:
    """The last position where `text` can be cut, 0 if there is none; special tokens that begin before `decided` are certain."""
    begin = 0
    for match in specials.finditer(text) if specials else ():
        if match.start() >= decided:
            break
        begin = match.end()
    found = _SAFE_CUT.search(text, begin, decided) if named and begin < decided else None
    return int(found.start()) if found else begin
