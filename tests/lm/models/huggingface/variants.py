"""The variants that are shipped, small, and changed copies of one."""

from pathlib import Path
from typing import Any

from stages.lm.models import registry
from stages.lm.models.huggingface.settings import HuggingFaceSettings

VOCAB, CONTEXT = 20, 16
GATED, REZERO = "config/variants/gated_attention.py", "config/variants/rezero_residual.py"
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def settings(file: object = GATED, **config: Any) -> HuggingFaceSettings:
    """Two layers, two heads, sixteen numbers, and what else its config class is told."""
    values = {"family": "huggingface", "file": str(file), "context_length": CONTEXT, "config": SIZES | config}
    return HuggingFaceSettings.model_validate(values)


def built(file: object = GATED, **config: Any) -> Any:
    return registry.build(settings(file, **config), VOCAB, 0)


def changed(folder: Path, *replacements: tuple[str, str], file: str = GATED) -> Path:
    """A copy of a shipped variant with other text in places."""
    text = Path(file).read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text, f"{file} does not hold {old!r}"
        text = text.replace(old, new)
    copy = folder / Path(file).name
    copy.write_text(text, encoding="utf-8")
    return copy
