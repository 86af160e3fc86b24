"""Runs whose memory is estimated and measured: chosen ones of every family, and some that a generator draws."""

import random
from typing import Any

GPT = {"family": "transformer", "layers": 3, "heads": 4, "d_model": 128, "context_length": 192}
LSTM = {"family": "lstm", "layers": 2, "d_model": 160, "context_length": 64}
BERT = {"family": "bert", "layers": 2, "heads": 4, "d_model": 128, "context_length": 128}

CHOSEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "transformer": (GPT, {}),
    "in bf16": (GPT, {"precision": "bf16"}),
    "by Muon": (GPT, {"optimizer": "muon"}),
    "in micro-batches": (GPT, {"micro_batch_size": 3}),
    "blocks computed again": (GPT, {"activation_checkpointing": True}),
    "documents apart": (GPT, {"batches": "documents"}),
    "long": ({**GPT, "context_length": 640}, {"batch_size": 4}),
    "GPT-2": ({**GPT, "norm": "layer", "feed_forward": "gelu", "bias": True, "position": "learned", "tie_embeddings": True}, {}),
    "Mistral": ({**GPT, "attention": "sliding", "window": 32, "kv_heads": 2}, {}),
    "linear, dropout": ({**GPT, "attention": "linear", "dropout": 0.1}, {}),
    "rnn": ({**LSTM, "family": "rnn"}, {}),
    "lstm": (LSTM, {}),
    "lstm in bf16": (LSTM, {"precision": "bf16"}),
    "gru": ({**LSTM, "family": "gru", "context_length": 40}, {}),
    "rnn-seq2seq": ({"family": "rnn-seq2seq", "d_model": 96, "context_length": 24}, {}),
    "transformer-seq2seq": ({"family": "transformer-seq2seq", "layers": 2, "heads": 4, "d_model": 96, "context_length": 32}, {}),
    "bert": (BERT, {}),
    "bert in micro-batches": (BERT, {"micro_batch_size": 2, "precision": "bf16"}),
    "skipgram": ({"family": "skipgram", "d_model": 100}, {"batch_size": 512}),
    "cbow": ({"family": "cbow", "d_model": 100}, {"batch_size": 512}),
}


def drawn(count: int, seed: int) -> list[tuple[dict[str, Any], dict[str, Any], int]]:
    """Models, their training, and the size of the vocabulary, none of them chosen."""
    chance = random.Random(seed)
    return [_draw(chance) for _ in range(count)]


def _draw(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any], int]:
    family = chance.choice(["transformer"] * 3 + ["lstm", "gru", "rnn", "bert", "transformer-seq2seq", "rnn-seq2seq", "skipgram"])
    heads = chance.choice([2, 4, 8])
    width = heads * 8 * chance.randint(1, 6)
    model: dict[str, Any] = {"family": family, "d_model": width}
    if family in ("transformer", "bert", "transformer-seq2seq"):
        model |= {"layers": chance.randint(1, 5), "heads": heads, "context_length": chance.randint(16, 600)}
    elif family != "skipgram":
        model |= {"context_length": chance.randint(8, 40)} | ({} if "seq2seq" in family else {"layers": chance.randint(1, 3)})
    if family == "transformer":
        model |= {
            "feed_forward": chance.choice(["swiglu", "geglu", "relu", "gelu"]),
            "norm": chance.choice(["rms", "layer"]),
            "bias": chance.random() < 0.5,
            "qk_norm": chance.random() < 0.3,
            "tie_embeddings": chance.random() < 0.5,
            "attention": chance.choice(["full", "full", "linear"]),
        }
    size = chance.randint(2, 12)
    training = {
        "batch_size": size,
        "micro_batch_size": chance.choice([None, None, max(1, size // 2)]),
        "precision": chance.choice(["fp32", "bf16"]),
        "optimizer": chance.choice(["adamw", "adamw", "muon"]),
        "activation_checkpointing": family == "transformer" and chance.random() < 0.3,
    }
    return model, training, chance.choice([300, 2000, 9000])
