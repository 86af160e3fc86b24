"""A small model trained on the stories, handed in as `evidence/trained.py` reads it: the reference's trained/."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from stages.lm.corpus.toy import stories
from stages.lm.grading import reference
from stages.lm.grading.evidence.trained import END, FOLDER, TrainedSettings, bits_per_byte
from stages.lm.models.transformer import TransformerLM
from stages.lm.training.optimizer import AdamW

DOCUMENTS, VOCAB_SIZE, CONTEXT, STEPS, BATCH = 300, 400, 64, 150, 16
D_MODEL, LAYERS, HEADS, D_FF, RATE = 48, 2, 4, 128, 2e-2


def write_trained(submission: Path) -> float:
    """Train a tokenizer and a model by the pieces that submissions write, and hand them in; returns the bits per byte."""
    folder = submission / FOLDER
    folder.mkdir(parents=True)
    grammar = stories()
    text = END.join(grammar.sample(0, number).text for number in range(DOCUMENTS)) + END
    (folder / "corpus.txt").write_text(text, encoding="utf-8")
    vocab, merges = reference.train_bpe(str(folder / "corpus.txt"), VOCAB_SIZE, [END])
    (folder / "corpus.txt").unlink()
    reference.save_tokenizer(vocab, merges, str(folder))
    ids = np.array(reference.build_tokenizer(vocab, merges, [END]).encode(text), dtype=np.uint16)
    settings = TrainedSettings(context_length=CONTEXT, num_heads=HEADS, bits_per_byte=0.0)
    save_file(train(ids).state_dict(), folder / "model.safetensors")
    found = bits_per_byte(folder, settings, seed=1)
    claimed = settings.model_copy(update={"bits_per_byte": round(found, 3)})
    (folder / "settings.json").write_text(json.dumps(claimed.resolved(), indent=2) + "\n", encoding="utf-8")
    return found


def train(ids: np.ndarray[tuple[int], np.dtype[np.uint16]]) -> TransformerLM:
    """The model after some hundred steps."""
    torch.manual_seed(0)
    model = TransformerLM(VOCAB_SIZE, CONTEXT, D_MODEL, LAYERS, HEADS, D_FF)
    optimizer = AdamW(model.parameters(), lr=RATE)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = reference.cosine_schedule(step, RATE, RATE / 10, STEPS // 20, STEPS)
        x, y = reference.get_batch(ids, BATCH, CONTEXT, "cpu")
        optimizer.zero_grad()
        reference.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        reference.clip_gradients(model.parameters(), 1.0)
        optimizer.step()
    return model
