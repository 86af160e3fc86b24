"""What determines a byte-pair tokenizer."""

from typing import Literal, Self

from pydantic import Field, model_validator

from stages.lm.bpe.pretokenization import compile_pattern
from stages.lm.bpe.vocabulary import check_size
from stages.lm.errors import UserError
from stages.lm.settings import Settings


class BpeSettings(Settings):
    """Byte-pair encoding: pairs merged by frequency, up from the 256 bytes. Loses nothing."""

    kind: Literal["bpe"] = "bpe"

    vocab_size: int = Field(gt=0)
    """Number of tokens: the 256 bytes, the special tokens and the learned merges together."""

    special_tokens: list[str] = Field(default=["<|endoftext|>"], min_length=1)
    """Strings with an id of their own that no merge ever touches; the first one ends a text."""

    pattern: str = "gpt2"
    """Where words begin and end: gpt2, cl100k, o200k, or any pattern of the `regex` module."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            check_size(self.vocab_size, self.special_tokens)
            compile_pattern(self.pattern)
        except UserError as error:
            raise ValueError(str(error)) from None
        return self
