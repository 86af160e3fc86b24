"""Train a tokenizer of any kind on documents."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from stages.lm.bpe.counting import count_documents
from stages.lm.bpe.documents import Documents
from stages.lm.bpe.interface import TextTokenizer
from stages.lm.bpe.pretokenization import CHARACTERS
from stages.lm.bpe.settings import BpeSettings
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.bpe.training import train_documents
from stages.lm.bpe.vocabulary import initial_vocabulary
from stages.lm.errors import UserError
from stages.lm.tokenizers.settings import ByteSettings, CharacterSettings, TokenizerSettings, WordSettings
from stages.lm.tokenizers.symbols import CodePointTokenizer, SymbolTokenizer


@dataclass(frozen=True)
class Trained:
    """A tokenizer and what it was learned from: words (or characters), how many of them are distinct, and how many of all have a
    token of their own. None where nothing was counted."""

    tokenizer: TextTokenizer
    words: int | None = None
    distinct_words: int | None = None
    known_words: int | None = None


def train(settings: TokenizerSettings, batches: Iterable[Documents]) -> Trained:
    """The tokenizer of these settings. Raises UserError where the documents have no text to learn from."""
    match settings:
        case BpeSettings():
            return _train_bpe(settings, batches)
        case ByteSettings():
            return Trained(byte_tokenizer(settings.special_tokens))
        case CharacterSettings(alphabet="unicode"):
            return Trained(CodePointTokenizer(settings.special_tokens))
        case CharacterSettings():
            counts = _counted(batches, settings.special_tokens, CHARACTERS)
            return _symbols(settings, counts, sorted(counts), CHARACTERS)
        case WordSettings():
            counts = _counted(batches, settings.special_tokens, settings.pattern)
            words = sorted(counts, key=lambda word: (-counts[word], word))
            room = None if settings.vocab_size is None else settings.vocab_size - len(settings.special_tokens) - 1
            return _symbols(settings, counts, words[:room], settings.pattern)
    raise TypeError(f"no tokenizer is known for {type(settings).__name__}")


def byte_tokenizer(special_tokens: list[str]) -> Tokenizer:
    """The byte tokenizer: byte-pair encoding before its first merge."""
    return Tokenizer(initial_vocabulary(special_tokens), [], special_tokens)


def _train_bpe(settings: BpeSettings, batches: Iterable[Documents]) -> Trained:
    trained = train_documents(batches, settings.vocab_size, settings.special_tokens, settings.pattern)
    _check_text(trained.words)
    tokenizer = Tokenizer(trained.vocab, trained.merges, settings.special_tokens, settings.pattern)
    return Trained(tokenizer, trained.words, trained.distinct_words, trained.words)


def _counted(batches: Iterable[Documents], special_tokens: list[str], pattern: str) -> Counter[str]:
    """How often each word occurs."""
    counts = count_documents(chain.from_iterable(batch.texts() for batch in batches), special_tokens, pattern)
    _check_text(counts.total())
    return Counter({word.decode("utf-8", "replace"): count for word, count in counts.items()})


def _symbols(settings: CharacterSettings | WordSettings, counts: Counter[str], symbols: list[str], pattern: str) -> Trained:
    tokenizer = SymbolTokenizer(symbols, settings.special_tokens, pattern, settings.unknown_token)
    return Trained(tokenizer, counts.total(), len(counts), sum(counts[symbol] for symbol in tokenizer.symbol_ids))


def _check_text(words: int) -> None:
    if not words:
        raise UserError("corpus: its train split has no text to learn from; give the corpus more documents")
