"""What determines a tokenizer of each kind. Without a `kind` it is `bpe`."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from stages.lm.bpe.pretokenization import WORDS, compile_pattern
from stages.lm.bpe.settings import BpeSettings
from stages.lm.bpe.vocabulary import check_specials
from stages.lm.errors import UserError
from stages.lm.settings import Settings
from stages.lm.tokenizers.symbols import UNKNOWN


class PlainSettings(Settings):
    """What the kinds that merge nothing have in common."""

    special_tokens: list[str] = Field(default=["<|endoftext|>"], min_length=1)
    """Strings with an id of their own; the first one ends a text."""

    @model_validator(mode="after")
    def _check_specials(self) -> Self:
        try:
            check_specials(self.special_tokens)
        except UserError as error:
            raise ValueError(str(error)) from None
        return self


class ByteSettings(PlainSettings):
    """A token for every byte of UTF-8. Loses nothing, and learns nothing."""

    kind: Literal["byte"]


class CharacterSettings(PlainSettings):
    """A token for every character."""

    kind: Literal["character"]

    alphabet: Literal["corpus", "unicode"] = "corpus"
    """corpus: the characters of the train split, all others become the unknown token; unicode: `ord` and `chr`, 1,114,112 ids, of
    which most are never used. unicode loses nothing."""

    unknown_token: str = Field(default=UNKNOWN, min_length=2)
    """The name of the unknown token; a text that spells it does not become it."""


class WordSettings(PlainSettings):
    """A token for every word that is frequent enough; all others become the unknown token, and are lost."""

    kind: Literal["word"]

    vocab_size: int | None = Field(default=None, gt=2)
    """Number of tokens, the special and the unknown one included: the most frequent words; null takes all of the train split."""

    pattern: str = WORDS
    """Where words begin and end: a pattern of the `regex` module, or gpt2, cl100k, o200k. What is left between is a word too."""

    unknown_token: str = Field(default=UNKNOWN, min_length=2)
    """The name of the unknown token; a text that spells it does not become it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            compile_pattern(self.pattern)
        except UserError as error:
            raise ValueError(str(error)) from None
        if self.vocab_size is not None and self.vocab_size < len(self.special_tokens) + 2:
            raise ValueError(
                f"vocab_size {self.vocab_size}: has no room for a word beside the special tokens and the unknown one"
            )
        return self


def with_kind(value: Any) -> Any:
    """Settings that say of what kind they are."""
    return {"kind": "bpe", **value} if isinstance(value, dict) else value


TokenizerSettings = Annotated[
    BpeSettings | ByteSettings | CharacterSettings | WordSettings, Field(discriminator="kind"), BeforeValidator(with_kind)
]
