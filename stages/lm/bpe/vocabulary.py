"""The vocabulary before any merge: ids 0-255 are the bytes, then come the special tokens; merges follow in their order."""

from collections.abc import Sequence

from stages.lm.errors import UserError

Vocabulary = dict[int, bytes]
Merges = list[tuple[bytes, bytes]]


def initial_vocabulary(special_tokens: Sequence[str]) -> Vocabulary:
    """The 256 bytes and the special tokens, by id."""
    tokens = [bytes([byte]) for byte in range(256)] + [token.encode() for token in special_tokens]
    return dict(enumerate(tokens))


def check_specials(special_tokens: Sequence[str]) -> None:
    """Raises UserError where the special tokens are ambiguous."""
    for token in special_tokens:
        if len(token.encode()) < 2:
            raise UserError(f"special token {token!r}: needs at least two bytes, a single byte is a token already")
    if len(set(special_tokens)) < len(special_tokens):
        raise UserError(f"special tokens {list(special_tokens)}: one of them appears twice; name each once")


def check_size(vocab_size: int, special_tokens: Sequence[str]) -> None:
    """Raises UserError where the special tokens are ambiguous or a vocabulary of `vocab_size` has no room for the basics."""
    check_specials(special_tokens)
    least = 256 + len(special_tokens)
    if vocab_size < least:
        raise UserError(
            f"vocab_size {vocab_size}: has no room for the 256 bytes and the special tokens ({len(special_tokens)}); "
            f"choose {least} or more"
        )
