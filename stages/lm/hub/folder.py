"""A folder as transformers reads it: config, weights, the code of a model of ours, defaults of `generate`.

All of it is plain files, written as they are documented, so that an export needs neither transformers nor torch.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from stages.lm.errors import UserError
from stages.lm.hub.bert import BertLayout
from stages.lm.hub.custom import CustomLayout
from stages.lm.hub.layouts import CONFIG, WEIGHTS, Layout
from stages.lm.hub.llama import LlamaLayout
from stages.lm.hub.marian import MarianLayout
from stages.lm.hub.own import OwnLayout
from stages.lm.hub.settings import ExportSettings
from stages.lm.models.registry import ModelDescription

WEIGHT_FILES = "model*.safetensors"
"""Of a large model there are several."""

LLAMA, CUSTOM, OWN = LlamaLayout(), CustomLayout(), OwnLayout()
LAYOUTS: dict[str, tuple[Layout[Any], ...]] = {
    "auto": (LLAMA, BertLayout(), MarianLayout(), CUSTOM, OWN),
    "custom": (CUSTOM, OWN),
}
"""What is tried, in this order, by `ExportSettings.layout`."""


def folder_files(folder: Path) -> list[Path]:
    """The files that a model is read from, its config first. Raises UserError for a folder without a config or weights."""
    parts = sorted(folder.glob(WEIGHT_FILES))
    for file in (folder / CONFIG, *(parts or [folder / WEIGHTS])):
        if not file.is_file():
            raise UserError(f"{file}: no such file; name the folder of a model for Hugging Face transformers")
    return [folder / CONFIG, *parts]


def layout_for(settings: Any, wanted: str) -> Layout[Any]:
    """The layout of a model by `ExportSettings.layout`. Raises UserError where there is none."""
    fitting = [layout for layout in LAYOUTS["auto"] if layout.fits(settings)]
    if not fitting:
        raise UserError(
            f"no model of transformers computes what this one of the family {settings.family} does; leave `export` out"
        )
    found = next((layout for layout in fitting if layout in LAYOUTS[wanted]), None)
    if found is None:
        raise UserError(f"only decoders have the layout {wanted}, not the family {settings.family}; say `layout: auto`")
    return found


def write_model(folder: Path, trained: Path, description: ModelDescription, layout: Layout[Any]) -> dict[str, Any]:
    """config.json, model.safetensors, and the code where transformers has none, of the model in the folder `trained`.

    Returns what config.json says.
    """
    config = {
        **layout.describe(trained, description),
        "bos_token_id": description.end_of_text,
        "eos_token_id": description.end_of_text,
        **translator_ids(description),
        "dtype": "float32",
        "stagecraft_tokenizer": description.tokenizer,
    }
    write_json(folder / CONFIG, config)
    weights = layout.to_hub(load_file(trained / WEIGHTS), description.settings)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})  # transformers asks what wrote the file
    code = layout.code(trained, description.settings)
    if code is not None:
        shutil.copyfile(code, folder / code.name)
    return config


def translator_ids(description: ModelDescription) -> dict[str, Any]:
    """With what a translator begins to write: the token that ends a text, as in training. It also fills up shorter texts."""
    if description.settings.task != "translation":
        return {}
    end = description.end_of_text
    return {"decoder_start_token_id": end, "pad_token_id": end, "forced_eos_token_id": None}


def write_generation(folder: Path, settings: ExportSettings, description: ModelDescription) -> None:
    """What `generate` does unless it is told otherwise: a text ends with the token for it, or with the context.

    Translators do not sample, but take the most probable token each time. What fills in blanks writes no texts, and has no file.
    """
    if description.settings.task == "masked":
        return
    sampling = {"temperature": settings.temperature, "top_k": settings.top_k or 0, "top_p": settings.top_p or 1.0}
    samples = settings.temperature > 0 and description.settings.task == "language model"
    content = {
        "bos_token_id": description.end_of_text,
        "eos_token_id": description.end_of_text,
        **translator_ids(description),
        "max_length": description.context_length,
        "do_sample": samples,
        **(sampling if samples else {}),
    }
    write_json(folder / "generation_config.json", content)


def write_json(file: Path, content: dict[str, Any]) -> None:
    """As transformers writes its files."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
