"""A tokenizer as transformers reads it: our tokenizer.json, and a file that says which class and which special tokens."""

from pathlib import Path
from typing import Any

from stages.lm.bpe.files import added_tokens, read_json
from stages.lm.errors import UserError
from stages.lm.hub.folder import write_json
from stages.lm.models.bert.settings import MASK
from stages.lm.models.settings import Task
from stages.lm.tokenizers.files import FILE, read_tokenizer
from stages.lm.tokenizers.settings import CharacterSettings
from stages.lm.tokenizers.words import holds_spaces


def check_kind(settings: Any) -> None:
    """Raises UserError unless transformers has tokenizers of the kind that these settings, of whatever kind, describe."""
    if isinstance(settings, CharacterSettings) and settings.alphabet == "unicode":
        raise UserError("transformers has no tokenizer of code points (alphabet: unicode); train with another one")


def write_tokenizer(folder: Path, made: Path, context_length: int, task: Task) -> None:
    """The tokenizer in the folder `made`, of a kind that `check_kind` lets pass, to be loaded as PreTrainedTokenizerFast.

    It frames texts as a model for `task` reads them: a translator wants the end-of-text token after a sentence; one that fills in
    blanks wants it on both sides, and [MASK] as the token after all others.
    """
    tokenizer = read_tokenizer(made)
    end_of_text = next(iter(tokenizer.special_tokens))
    content, roles = read_json(made / FILE), dict.fromkeys(("bos_token", "eos_token"), end_of_text)
    if task == "masked":
        (mask,) = added_tokens({MASK: tokenizer.vocab_size})
        mask["lstrip"] = holds_spaces(tokenizer)  # then the space before a hidden word is hidden with it
        content["added_tokens"].append(mask)
        roles = dict.fromkeys(("cls_token", "sep_token"), end_of_text) | {"mask_token": MASK}
    elif task == "translation":
        roles["pad_token"] = end_of_text
    if task != "language model":
        content["post_processor"] = framing(end_of_text, tokenizer.end_of_text, on_both_sides=task == "masked")
    write_json(folder / FILE, content)
    config = {"model_max_length": context_length, "clean_up_tokenization_spaces": False}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **roles, **config})


def framing(token: str, index: int, on_both_sides: bool) -> dict[str, Any]:
    """The part of a tokenizer.json that puts a special token after a text, and before it too."""
    end, texts = {"SpecialToken": {"id": token, "type_id": 0}}, [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
    first = [end] if on_both_sides else []
    return {
        "type": "TemplateProcessing",
        "single": [*first, texts[0], end],
        "pair": [*first, texts[0], end, texts[1], end],
        "special_tokens": {token: {"id": token, "ids": [index], "tokens": [token]}},
    }
