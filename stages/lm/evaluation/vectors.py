"""How good word vectors are: the loss on text that they have not seen, and analogies (Mikolov et al. 2013)."""

from typing import Any

import torch

from stages.lm.evaluation.settings import VectorEvaluationSettings
from stages.lm.inference.loading import Trained
from stages.lm.inference.vectors import Words
from stages.lm.models.vectors.settings import VectorSettings
from stages.lm.tokens import TokenArray
from stages.lm.training.contexts import ContextData
from stages.lm.training.settings import TrainingSettings

BATCHES, BATCH_SIZE = 64, 1024


@torch.no_grad()
def held_out_loss(trained: Trained, settings: Any, train: TokenArray, held_out: TokenArray, seed: int) -> float:
    """Nats per prediction over batches evenly spread over a split; noise as in training. `settings` are the model's."""
    assert isinstance(settings, VectorSettings)
    model: Any = trained.model
    training = TrainingSettings(batch_size=BATCH_SIZE, validation_windows=BATCHES, seed=seed)
    data = ContextData({"train": train, "valid": held_out}, model.vocab_size, trained.end_of_text, settings, training)
    total, predictions = 0.0, 0
    for batch in data.validation():
        total += float(model.total_loss(*batch.to(trained.device).tensors))
        predictions += batch.predictions
    return total / max(1, predictions)


def vector_statistics(loss: float, words: Words, settings: VectorEvaluationSettings) -> dict[str, Any]:
    """The content of an evaluation's stats.json. Raises UserError where an analogy has a word that is none of the words."""
    asked = [analogy.split() for analogy in settings.analogies]
    for word in {word for four in asked for word in four}:
        words.find(word)
    analogies = [{"asked": four[:3], "expected": four[3], "found": words.analogy(*four[:3])} for four in asked]
    right = sum(analogy["found"] == analogy["expected"] for analogy in analogies)
    return {
        "task": "vectors",
        "split": settings.split,
        "words": len(words.ids),
        "nats_per_prediction": loss,
        "analogies": analogies,
        "accuracy": right / len(analogies) if analogies else None,
        "chance": 1 / (len(words.ids) - 3),
    }


def vector_summary(stats: dict[str, Any]) -> str:
    """The result in one line."""
    line = f"{stats['nats_per_prediction']:.4f} nats per prediction"
    if stats["analogies"]:
        line += f", {stats['accuracy']:.0%} of {len(stats['analogies'])} analogies right ({stats['chance']:.1%} by chance)"
    return line


def vector_readme(model: str, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    rows = [f"| {' '.join(one['asked'])} | {one['expected']} | {one['found']} |" for one in stats["analogies"]]
    table = "\n".join(["| asked | expected | found |", "|---|---|---|", *rows, ""]) if rows else ""
    return f"""# Evaluation of {model}

{vector_summary(stats)}.

The loss is that of telling the tokens around a token from noise, on the split `{stats["split"]}`; it is no loss of a language
model. An analogy a b c is answered by the word nearest to b - a + c among {stats["words"]:,} words.

{table}
- `stats.json`: all results
"""
