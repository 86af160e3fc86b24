"""Tokenizers with a fixed list of symbols, words or characters, and one id for all others: what is not in the list is lost."""

from collections.abc import Sequence

from stages.lm.bpe.interface import TextTokenizer, utf8
from stages.lm.bpe.pretokenization import CHARACTERS, compile_pattern, find_words

UNKNOWN = "<unk>"


class SymbolTokenizer(TextTokenizer):
    """A symbol, an id: first the special tokens, then the unknown one, then the symbols in their order.

    The unknown token decodes to its name. A text that spells this name does not thereby become the unknown token.
    """

    unknown: int

    def __init__(self, symbols: Sequence[str], special_tokens: Sequence[str], pattern: str, unknown_token: str = UNKNOWN) -> None:
        """`pattern`: the regular expression whose matches, and what stands between them, are the symbols of a text."""
        reserved = [*special_tokens, unknown_token]
        names = [*reserved, *(symbol for symbol in symbols if symbol not in reserved)]
        self.vocab = {index: name.encode() for index, name in enumerate(names)}
        self.special_tokens = {token: index for index, token in enumerate(special_tokens)}
        self.unknown, self.unknown_token = len(special_tokens), unknown_token
        self.symbol_ids = {name: index for index, name in enumerate(names) if index > self.unknown}
        self.vocab_size = len(names)
        self.pattern = pattern
        self._pattern = compile_pattern(pattern)

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of text in which nothing is a special token."""
        symbols = text if self.pattern == CHARACTERS else find_words(self._pattern, text)
        ids, unknown = self.symbol_ids, self.unknown
        return [ids.get(symbol, unknown) for symbol in symbols]


class CodePoints(dict[int, bytes]):
    """The UTF-8 of every code point by its number, made when it is asked for."""

    def __missing__(self, index: int) -> bytes:
        if not 0 <= index < LIMIT:
            raise KeyError(index)
        return utf8(chr(index))


LIMIT = 0x110000
"""Unicode ends here: 154,998 of these numbers were assigned to characters in version 16."""


class CodePointTokenizer(TextTokenizer):
    """Every character is its Unicode number, `ord` and `chr`; special tokens follow. Nothing is learned and nothing is lost."""

    def __init__(self, special_tokens: Sequence[str]) -> None:
        self.special_tokens = {token: LIMIT + number for number, token in enumerate(special_tokens)}
        self.vocab = CodePoints({index: token.encode() for token, index in self.special_tokens.items()})
        self.vocab_size = LIMIT + len(special_tokens)
        self.pattern = CHARACTERS

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of text in which nothing is a special token."""
        return list(map(ord, text))
