"""A trained model that is handed in as weights and a vocabulary: its bits per byte, measured anew on hidden stories.

trained/ holds model.safetensors under the names of `stages.lm.models.transformer`, vocab.json and merges.txt as GPT-2 writes
them, and settings.json: context_length, num_heads, rope_theta, and the bits_per_byte that are claimed.
"""

import math
import random
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file

from stages.lm import script
from stages.lm.bpe.files import read_gpt2
from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.corpus.toy import stories
from stages.lm.errors import UserError
from stages.lm.evaluation.losses import document_losses
from stages.lm.grading.case import Case
from stages.lm.grading.rubric import Check
from stages.lm.grading.submission import legible
from stages.lm.inference.loading import Trained
from stages.lm.models.transformer import TransformerLM
from stages.lm.settings import Settings, parse
from stages.lm.tokens import TokenArray

STORIES = 40
END = "<|endoftext|>"
FOLDER = "trained"


class TrainedSettings(Settings):
    """What weights do not say of a model, and what is claimed of it."""

    context_length: int = Field(ge=1, le=8192)
    num_heads: int = Field(ge=1)
    rope_theta: float = Field(default=10000.0, gt=0)
    bits_per_byte: float
    """As measured by the student, on other stories of the same grammar."""


def rescored(submission: Path, rng: random.Random, entry: Check) -> list[Case]:
    """A case for what is claimed, and one for each bound that the rubric sets."""
    bounds = {f"at most {bound:g} bits per byte": bound for bound in entry.at_most}
    claim = "what is claimed in trained/settings.json"
    try:
        settings = _settings(submission / FOLDER)
        found = bits_per_byte(submission / FOLDER, settings, rng.getrandbits(40))
    except (UserError, OSError, SafetensorError, RuntimeError, ValueError, KeyError, RecursionError) as error:
        fault = legible(str(error)).replace(f"{submission}/", "")
        return [Case(name, f"cannot be measured: {fault}") for name in (claim, *bounds)]
    holds = abs(found - settings.bits_per_byte) <= entry.tolerance * found
    said = f"{settings.bits_per_byte:.3f} bits per byte are claimed, but it has {found:.3f} on hidden stories"
    return [
        Case(claim, None if holds else said),
        *(Case(name, None if found <= bound else f"it has {found:.3f}") for name, bound in bounds.items()),
    ]


def _settings(folder: Path) -> TrainedSettings:
    return parse(TrainedSettings, script.read_settings(str(folder / "settings.json")), "trained/settings.json")


def bits_per_byte(folder: Path, settings: TrainedSettings, seed: int) -> float:
    """-log2 p of hidden stories by the weights in a folder, ends included, for each byte of their text.

    Raises UserError, OSError, SafetensorError, KeyError or RuntimeError where they are no model.
    """
    weights = load_file(folder / "model.safetensors")
    texts = Tokenizer(*read_gpt2(folder / "vocab.json", folder / "merges.txt", [END]), [END])
    vocab_size, d_model = weights["token_embeddings.weight"].shape
    if vocab_size < texts.vocab_size or d_model % settings.num_heads:
        raise UserError(f"weights of {vocab_size} tokens and {d_model} dimensions do not fit the vocabulary or the heads")
    layers = sum(name.endswith("ln1.weight") for name in weights)
    d_ff = len(weights["layers.0.ffn.w1.weight"])
    model = TransformerLM(vocab_size, settings.context_length, d_model, layers, settings.num_heads, d_ff, settings.rope_theta)
    model.load_state_dict(weights)
    grammar = stories()
    written = [grammar.sample(seed, number).text for number in range(STORIES)]
    sizes = np.array([len(text.encode()) for text in written])
    tokens = TokenArray.of([[*texts.encode(text), texts.end_of_text] for text in written], sizes)
    trained = Trained(model.eval(), texts.end_of_text, torch.device("cpu"), TransformerLM.__module__)
    found = float(document_losses(trained, tokens).sum() / sizes.sum()) / math.log(2)
    if not math.isfinite(found):
        raise UserError("its loss is no number")
    return found
