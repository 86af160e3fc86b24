"""A small config, and the same with one key changed."""

import json
from typing import Any

BASE: dict[str, Any] = {
    "name": "test",
    "corpora": {"toy": {"source": "grammar", "documents": 10}},
    "tokenizers": {"bpe": {"corpus": "toy", "vocab_size": 300}},
    "experiments": {
        "gpt": {
            "tokenizer": "bpe",
            "model": {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 32},
            "training": {"steps": 5, "learning_rate": "3e-4"},
            "export": {},
        }
    },
    "studies": {"lengths": {"kind": "complexity", "experiments": ["gpt"]}},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """BASE with one key set; `path` is dotted."""
    *above, last = path.split(".")
    data: dict[str, Any] = json.loads(json.dumps(BASE))
    place: dict[str, Any] = data
    for key in above:
        place = place.setdefault(key, {})
    place[last] = value
    return data
