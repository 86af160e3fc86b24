"""A folder as transformers reads it: config, weights, the code of a model of ours, tokenizer, defaults of `generate`.

All of it is plain files, written as they are documented, so that an export needs neither transformers nor torch.
"""

import json
import shutil
from pathlib import Path
from typing import Any, cast

from safetensors.numpy import load_file, save_file

from stages.lm.errors import UserError
from stages.lm.hub.custom import CODE, CustomLayout
from stages.lm.hub.layouts import Layout
from stages.lm.hub.llama import LlamaLayout, is_llama
from stages.lm.hub.settings import ExportSettings
from stages.lm.models.registry import ModelDescription
from stages.lm.models.settings import TransformerSettings
from stages.lm.tokenizers.files import FILE as TOKENIZER
from stages.lm.tokenizers.files import read_tokenizer
from stages.lm.tokenizers.symbols import CodePointTokenizer

CONFIG, WEIGHTS, WEIGHT_FILES = "config.json", "model.safetensors", "model*.safetensors"
"""What a folder holds; of a large model there are several files of weights."""

LAYOUTS: tuple[Layout, ...] = (LlamaLayout(), CustomLayout())


def folder_files(folder: Path) -> list[str]:
    """The files that a model is read from. Raises UserError for a folder without a config."""
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder / CONFIG}: no such file; name the folder of a model for Hugging Face transformers")
    return [str(file) for file in (folder / CONFIG, *sorted(folder.glob(WEIGHT_FILES)))]


def layout_for(settings: TransformerSettings, wanted: str) -> Layout:
    """The layout of a model by `ExportSettings.layout`."""
    llama, custom = LAYOUTS
    return llama if wanted == "auto" and is_llama(settings) else custom


def write_model(folder: Path, trained: Path, description: ModelDescription, layout: Layout) -> None:
    """config.json, model.safetensors, and the code where transformers has none, of the model in the folder `trained`."""
    settings = cast(TransformerSettings, description.settings)
    config = {
        "architectures": [layout.architecture],
        "model_type": layout.model_type,
        "vocab_size": description.vocab_size,
        **layout.config(settings),
        "bos_token_id": description.end_of_text,
        "eos_token_id": description.end_of_text,
        "dtype": "float32",
        "stagecraft_tokenizer": description.tokenizer,
    }
    _write_json(folder / CONFIG, config)
    weights = layout.to_hub(load_file(trained / WEIGHTS), settings)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})  # transformers asks what wrote the file
    if "auto_map" in config:
        shutil.copyfile(CODE, folder / CODE.name)


def write_tokenizer(folder: Path, made: Path, context_length: int) -> None:
    """The tokenizer in the folder `made`, to be loaded as PreTrainedTokenizerFast. Raises UserError if it cannot be."""
    tokenizer = read_tokenizer(made)
    if isinstance(tokenizer, CodePointTokenizer):
        raise UserError(f"{made}: is a tokenizer of code points, which transformers does not know; train with another one")
    end_of_text = next(iter(tokenizer.special_tokens))
    shutil.copyfile(made / TOKENIZER, folder / TOKENIZER)
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": end_of_text,
            "eos_token": end_of_text,
            "model_max_length": context_length,
            "clean_up_tokenization_spaces": False,
        },
    )


def write_generation(folder: Path, settings: ExportSettings, end_of_text: int, context_length: int) -> None:
    """What `generate` does unless it is told otherwise: a text ends with the token for it, or with the context."""
    sampling = {"temperature": settings.temperature, "top_k": settings.top_k or 0, "top_p": settings.top_p or 1.0}
    content = {
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "max_length": context_length,
        "do_sample": settings.temperature > 0,
        **(sampling if settings.temperature > 0 else {}),
    }
    _write_json(folder / "generation_config.json", content)


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
