"""A tokenizer as transformers reads it: our tokenizer.json, and a file that says which class and which special tokens."""

from pathlib import Path
from typing import Any

from stages.lm.bpe.files import added_tokens, read_json
from stages.lm.bpe.interface import TextTokenizer
from stages.lm.errors import UserError
from stages.lm.hub.folder import write_json
from stages.lm.models.bert.settings import MASK
from stages.lm.tokenizers.files import FILE, read_tokenizer
from stages.lm.tokenizers.symbols import CodePointTokenizer
from stages.lm.tokenizers.words import holds_spaces


def write_tokenizer(folder: Path, made: Path, context_length: int, *, fills_in: bool = False) -> None:
    """The tokenizer in the folder `made`, to be loaded as PreTrainedTokenizerFast. Raises UserError if it cannot be.

    With `fills_in` it is one for BERT: texts stand between two end-of-text tokens, and [MASK] is the token after all others.
    """
    tokenizer = read_tokenizer(made)
    if isinstance(tokenizer, CodePointTokenizer):
        raise UserError(f"{made}: is a tokenizer of code points, which transformers does not know; train with another one")
    end_of_text = next(iter(tokenizer.special_tokens))
    content, roles = read_json(made / FILE), ("bos_token", "eos_token")
    config: dict[str, Any] = {"model_max_length": context_length, "clean_up_tokenization_spaces": False}
    if fills_in:
        content = for_blanks(content, tokenizer, end_of_text)
        roles, config["mask_token"] = ("cls_token", "sep_token"), MASK
    write_json(folder / FILE, content)
    named = {"tokenizer_class": "PreTrainedTokenizerFast", **dict.fromkeys(roles, end_of_text)}
    write_json(folder / "tokenizer_config.json", named | config)


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
