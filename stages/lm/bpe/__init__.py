"""Byte-pair encoding: pre-tokenization, training, encoding and file formats (Sennrich et al. 2016; Radford et al. 2019)."""

from importlib import import_module
from typing import Any

_MODULES = {"train_bpe": "stages.lm.bpe.training", "Tokenizer": "stages.lm.bpe.tokenizer"}
__all__ = ["Tokenizer", "train_bpe"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
