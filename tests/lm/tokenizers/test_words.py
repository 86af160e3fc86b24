"""Which tokens begin a word, for each kind of tokenizer."""

from stages.lm.bpe.interface import TextTokenizer
from stages.lm.bpe.pretokenization import CHARACTERS, WORDS
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.tokenizers.symbols import SymbolTokenizer
from stages.lm.tokenizers.words import word_starts

TEXT = "Mia's café, 12 cats."
END = "<|endoftext|>"


def words_of(tokenizer: TextTokenizer) -> list[str]:
    """The text, cut where tokens begin a word."""
    starts, words = word_starts(tokenizer), [b""]
    for index in tokenizer.encode(TEXT):
        if starts[index]:
            words.append(b"")
        words[-1] += tokenizer.vocab[index]
    return [word.decode() for word in words if word]


def test_tokens_of_bytes_begin_words_with_spaces_and_punctuation() -> None:
    vocab = [END.encode(), *(bytes([byte]) for byte in range(256)), b" c", b"at", b" cat"]
    tokenizer = Tokenizer(dict(enumerate(vocab)), [(b" ", b"c"), (b"a", b"t"), (b" c", b"at")], [END])
    assert words_of(tokenizer) == ["Mia's", " café", ",", " 12", " cats", "."]
    assert word_starts(tokenizer)[0]


def test_characters_do_so_too() -> None:
    assert words_of(SymbolTokenizer(sorted(set(TEXT)), [END], CHARACTERS)) == ["Mia's", " café", ",", " 12", " cats", "."]


def test_every_word_is_a_word() -> None:
    tokenizer = SymbolTokenizer(["Mia", "'", "s", " ", "café", ",", "12", "cats", "."], [END], WORDS)
    assert "".join(words_of(tokenizer)) == TEXT
    assert word_starts(tokenizer).all()
