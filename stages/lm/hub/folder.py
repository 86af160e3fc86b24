"""A folder as transformers reads it: config, weights, the code of a model of ours, tokenizer, defaults of `generate`.

All of it is plain files, written as they are documented, so that an export needs neither transformers nor torch.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from stages.lm.bpe.files import added_tokens, read_json
from stages.lm.bpe.interface import TextTokenizer
from stages.lm.errors import UserError
from stages.lm.hub.bert import BertLayout
from stages.lm.hub.custom import CODE, CustomLayout
from stages.lm.hub.layouts import Layout
from stages.lm.hub.llama import LlamaLayout
from stages.lm.hub.settings import ExportSettings
from stages.lm.models.bert.settings import MASK
from stages.lm.models.registry import ModelDescription
from stages.lm.tokenizers.files import FILE as TOKENIZER
from stages.lm.tokenizers.files import read_tokenizer
from stages.lm.tokenizers.symbols import CodePointTokenizer
from stages.lm.tokenizers.words import holds_spaces

CONFIG, WEIGHTS, WEIGHT_FILES = "config.json", "model.safetensors", "model*.safetensors"
"""What a folder holds; of a large model there are several files of weights."""

LLAMA, BERT, CUSTOM = LlamaLayout(), BertLayout(), CustomLayout()
LAYOUTS: dict[str, tuple[Layout[Any], ...]] = {"auto": (LLAMA, BERT, CUSTOM), "custom": (CUSTOM,)}
"""What is tried, in this order, by `ExportSettings.layout`."""


def folder_files(folder: Path) -> list[str]:
    """The files that a model is read from. Raises UserError for a folder without a config."""
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder / CONFIG}: no such file; name the folder of a model for Hugging Face transformers")
    return [str(file) for file in (folder / CONFIG, *sorted(folder.glob(WEIGHT_FILES)))]


def layout_for(settings: Any, wanted: str) -> Layout[Any]:
    """The layout of a model by `ExportSettings.layout`. Raises UserError where there is none."""
    found = next((layout for layout in LAYOUTS[wanted] if layout.fits(settings)), None)
    if found is None:
        raise UserError(
            f"no model of transformers computes what this one of the family {settings.family} does; leave `export` out"
        )
    return found


def write_model(folder: Path, trained: Path, description: ModelDescription, layout: Layout[Any]) -> None:
    """config.json, model.safetensors, and the code where transformers has none, of the model in the folder `trained`."""
    config = {
        "architectures": [layout.architecture],
        "model_type": layout.model_type,
        **layout.config(description.settings, description.vocab_size),
        "bos_token_id": description.end_of_text,
        "eos_token_id": description.end_of_text,
        "dtype": "float32",
        "stagecraft_tokenizer": description.tokenizer,
    }
    _write_json(folder / CONFIG, config)
    weights = layout.to_hub(load_file(trained / WEIGHTS), description.settings)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})  # transformers asks what wrote the file
    if "auto_map" in config:
        shutil.copyfile(CODE, folder / CODE.name)


def write_tokenizer(folder: Path, made: Path, context_length: int, *, fills_in: bool = False) -> None:
    """The tokenizer in the folder `made`, to be loaded as PreTrainedTokenizerFast. Raises UserError if it cannot be.

    With `fills_in` it is one for BERT: texts stand between two end-of-text tokens, and [MASK] is the token after all others.
    """
    tokenizer = read_tokenizer(made)
    if isinstance(tokenizer, CodePointTokenizer):
        raise UserError(f"{made}: is a tokenizer of code points, which transformers does not know; train with another one")
    end_of_text = next(iter(tokenizer.special_tokens))
    content, roles = read_json(made / TOKENIZER), ("bos_token", "eos_token")
    config: dict[str, Any] = {"model_max_length": context_length, "clean_up_tokenization_spaces": False}
    if fills_in:
        content = for_blanks(content, tokenizer, end_of_text)
        roles, config["mask_token"] = ("cls_token", "sep_token"), MASK
    _write_json(folder / TOKENIZER, content)
    named = {"tokenizer_class": "PreTrainedTokenizerFast", **dict.fromkeys(roles, end_of_text)}
    _write_json(folder / "tokenizer_config.json", named | config)


def for_blanks(content: dict[str, Any], tokenizer: TextTokenizer, end_of_text: str) -> dict[str, Any]:
    """A tokenizer.json with [MASK], which takes the space before it where tokens hold those, and with the ends of a text."""
    (mask,) = added_tokens({MASK: tokenizer.vocab_size})
    end = {"SpecialToken": {"id": end_of_text, "type_id": 0}}
    between = {
        "type": "TemplateProcessing",
        "single": [end, {"Sequence": {"id": "A", "type_id": 0}}, end],
        "pair": [end, {"Sequence": {"id": "A", "type_id": 0}}, end, {"Sequence": {"id": "B", "type_id": 0}}, end],
        "special_tokens": {end_of_text: {"id": end_of_text, "ids": [tokenizer.end_of_text], "tokens": [end_of_text]}},
    }
    mask["lstrip"] = holds_spaces(tokenizer)
    return content | {"added_tokens": [*content["added_tokens"], mask], "post_processor": between}


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
