"""The settings of decoding."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, StringConstraints, model_validator

from stages.lm.models.bert.settings import MASK
from stages.lm.settings import Settings


class SearchSettings(Settings):
    """How a translation is found."""

    beam_size: int = Field(default=4, ge=1)
    """How many beginnings are followed at once; 1 takes the most probable token each time."""
    length_penalty: float = Field(default=0.6, ge=0.0)
    """Log-probabilities are divided by ((5 + length) / 6) to this power before they are compared (Wu et al. 2016)."""
    extra_tokens: int = Field(default=50, ge=0)
    """A translation has at most so many tokens more than its source (Vaswani et al. 2017, section 6.1)."""


class TranslationSettings(SearchSettings):
    """How a translator's sentences are found, and which of them the decode stage shows."""

    sentences: list[str] = []
    """Sentences to translate."""
    split: Literal["train", "valid", "test"] | None = "test"
    """A split of the corpus to translate beside its references; null for none."""
    examples: int | None = Field(default=10, ge=1)
    """How many pairs of the split are shown, evenly spread; null shows all."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    threads: int = Field(default=2, ge=1)
    """Processor threads of the model; a fixed number, because the order of floating-point sums depends on it."""

    @property
    def search(self) -> SearchSettings:
        """The settings of the search alone."""
        return SearchSettings(**{name: getattr(self, name) for name in SearchSettings.model_fields})


class SamplingSettings(Settings):
    """How the next token is chosen: penalties, temperature, top-k, top-p, min-p, typical, in this order."""

    temperature: float = Field(default=0.8, ge=0.0)
    """Log-probabilities are divided by this; 0 always takes the most probable token."""
    top_k: int | None = Field(default=None, ge=1)
    """Only the k most probable tokens are kept; null keeps all."""
    top_p: float | None = Field(default=0.9, gt=0.0, le=1.0)
    """Only the most probable tokens that together reach this mass are kept; null keeps all."""
    min_p: float | None = Field(default=None, gt=0.0, le=1.0)
    """Only tokens that are at least so many times as probable as the most probable one are kept; null keeps all."""
    typical_p: float | None = Field(default=None, gt=0.0, le=1.0)
    """Only the tokens whose information is nearest to the expected one, and that together reach this mass, are kept."""
    repetition_penalty: float = Field(default=1.2, ge=1.0)
    """How much tokens of the recent text are penalised; 1 is not at all."""
    repetition_window: int = Field(default=10, ge=0)
    """How many of the last tokens are the recent text, the prompt's included."""
    presence_penalty: float = 0.0
    """What is taken from the log-probability of every token that was written after the prompt; negative numbers reward it."""
    frequency_penalty: float = 0.0
    """The same for each time that it was written."""

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how often tokens were written."""
        return self.presence_penalty != 0.0 or self.frequency_penalty != 0.0


PLAIN: dict[str, Any] = {
    "temperature": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "samples": 1,
    "batch_size": 1,
    "stop": [],
    "stop_ids": [],
    "log_probs": False,
    "draft": None,
}
"""What beam search does not know of, and how it is left out."""


class DecodingSettings(SamplingSettings):
    """What is generated; how the next token is chosen: penalties, temperature, top-k, top-p, min-p, typical, in this order."""

    prompts: list[str] = Field(default=[""], min_length=1)
    """The beginnings of the texts; an empty one leaves the whole document to the model."""
    samples: int = Field(default=1, ge=1)
    """Texts for each prompt."""
    batch_size: int | None = Field(default=None, ge=1)
    """How many texts are written at once, of whatever prompts; null: as many as a prompt has. Faster, and the same but for
    rounding."""
    max_tokens: int = Field(default=256, ge=1)
    """Most tokens that are generated for a text, unless it ends before."""
    stop: list[Annotated[str, StringConstraints(min_length=1)]] = []
    """Pieces of text that end a text, beside the model's own end; they are no part of it."""
    stop_ids: list[NonNegativeInt] = []
    """Ids of tokens that end a text, likewise."""
    log_probs: bool = False
    """Whether the model's log-probability of every token is kept with a text."""
    beams: int = Field(default=1, ge=1)
    """How many beginnings of a text are followed at once to find the most probable text (beam search); 1 is no search. Texts are
    then written one after the other, and nothing is drawn or penalised."""
    length_penalty: float = Field(default=0.6, ge=0.0)
    """Beam search divides log-probabilities by ((5 + length) / 6) to this power before it compares them (Wu et al. 2016)."""
    draft: str | None = None
    """The experiment whose model drafts tokens for this one (speculative decoding): a small transformer or an n-gram model with
    the same tokenizer. Texts are then written one after the other, from the same distribution."""
    draft_tokens: int = Field(default=3, ge=1)
    """Most tokens that are drafted at a time."""
    draft_repeats: bool = True
    """Whether what followed the last three tokens, when the text had them before, is drafted before the draft is asked."""
    draft_confidence: float = Field(default=0.2, ge=0.0, le=1.0)
    """A draft ends where the model that drafts gives no token at least this probability."""
    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    """In what the model computes: 32-bit floats; weights in bf16, which are read in half the time; or, on a CPU, the weights of
    linear layers in 8-bit integers and all else in bf16."""
    compile: bool = False
    """Whether the next token is computed by compiled code. It takes seconds to a minute to compile: for many tokens."""
    seed: int = Field(default=0, ge=0)
    """Together with the number of the prompt and of the sample it determines a text, whatever else is generated beside it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    threads: int = Field(default=2, ge=1)
    """Processor threads of the model; a fixed number, because the order of floating-point sums depends on it."""

    @model_validator(mode="after")
    def _check_draft(self) -> Self:
        if self.draft is not None and (self.batch_size or 1) > 1:
            raise ValueError("draft: goes with one text at a time; leave out batch_size, or the draft")
        return self

    @model_validator(mode="after")
    def _check_beams(self) -> Self:
        if self.beams > 1 and (wrong := [name for name, value in PLAIN.items() if getattr(self, name) not in (value, None)]):
            values = " and ".join(f"{name} to {json.dumps(PLAIN[name])}" for name in wrong)
            raise ValueError(f"beams: look for the most probable text, to the model's own end; set {values}, or beams to 1")
        return self

    @property
    def at_once(self) -> int:
        """How many texts are written at once."""
        alone = self.draft is not None or self.beams > 1
        return 1 if alone else min(self.batch_size or self.samples, self.samples * len(self.prompts))

    @property
    def is_plain(self) -> bool:
        """Whether the model alone computes, as it was trained."""
        return self.draft is None and self.beams == 1 and self.precision == "fp32" and not self.compile

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that are loaded by name for these settings, beside the model's own."""
        found = {"beams": self.beams > 1, "speculation": self.draft is not None}
        found |= {"compiled": self.compile, "few_rows": self.precision == "bf16", "int8": self.precision == "int8"}
        return tuple(f"stages.lm.inference.{name}" for name, is_needed in found.items() if is_needed)


class FillingSettings(Settings):
    """Which blanks are filled in, for models that see both directions."""

    prompts: list[str] = []
    """Texts with one or more blanks, each written [MASK] and one token long."""
    candidates: int = Field(default=5, ge=1)
    """How many tokens are shown for each blank, the most probable first."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    threads: int = Field(default=2, ge=1)
    """Processor threads of the model; a fixed number, because the order of floating-point sums depends on it."""

    @model_validator(mode="after")
    def _check_blanks(self) -> Self:
        for prompt in self.prompts:
            if MASK not in prompt:
                raise ValueError(f"prompts: {prompt!r} has no blank; write {MASK} where a token is to be filled in")
        return self


class NeighbourSettings(Settings):
    """Which word vectors are shown."""

    words: int = Field(default=12, ge=1)
    """The neighbours of so many words are shown, the most frequent ones."""
    neighbours: int = Field(default=6, ge=1)
    """How many of each."""
    pictured: int = Field(default=80, ge=3)
    """How many words the picture has, the most frequent ones."""
