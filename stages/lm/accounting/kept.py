"""What was measured of this machine, kept below state/ for the next time."""

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stages.lm import provenance
from stages.lm.training.settings import TrainSettings


def device_name(settings: TrainSettings) -> str:
    """What the run would use here."""
    if settings.training.device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"cpu of {platform.node()}"


def key_of_steps(settings: TrainSettings, about: Mapping[str, Any]) -> str:
    """The key of what was measured of training steps of the model: `about` and what else they depend on."""
    here = {
        "device": device_name(settings),
        "torch": torch.__version__,
        "code": provenance.code_version("stages.train", *settings.modules),
    }
    return key_of({**about, **here})


def key_of(about: Mapping[str, Any]) -> str:
    """12 hex digits of all that a measurement depends on."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def write(file: Path, value: Any) -> None:
    """Keep a value as JSON: it is there whole, or not at all."""
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    draft.replace(file)
