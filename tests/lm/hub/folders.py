"""Small models and their exported folders."""

from pathlib import Path
from typing import Any

import torch

from stages.lm.hub.folder import layout_for, write_generation, write_model
from stages.lm.hub.settings import ExportSettings
from stages.lm.models import registry
from stages.lm.models.settings import TransformerSettings
from stages.lm.models.transformer import TransformerLM

VOCAB = 19


def randomised(model: Any) -> Any:
    """A model none of whose numbers is what it started with: norms and biases do something."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def model_of(settings: TransformerSettings) -> TransformerLM:
    """Such a model of these settings."""
    model = randomised(registry.build(settings, VOCAB, 0))
    assert isinstance(model, TransformerLM)
    return model


def export(folder: Path, model: TransformerLM, settings: TransformerSettings, layout: str = "auto") -> Path:
    """The folder of a model, without a tokenizer."""
    trained, out = folder / "trained", folder / "exported"
    trained.mkdir()
    out.mkdir()
    description = registry.ModelDescription(
        family="transformer", settings=settings, vocab_size=VOCAB, end_of_text=0, tokenizer="that one", tokens="those"
    )
    registry.save(model, description, trained)
    write_model(out, trained, description, layout_for(settings, layout))
    write_generation(out, ExportSettings(temperature=0.0), description)
    return out


def load(folder: Path) -> Any:
    """The folder's model as a user of transformers loads it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(1, VOCAB, (batch, length), generator=torch.Generator().manual_seed(length))
