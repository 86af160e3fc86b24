"""What a pretrained encoder is worth: a small task made from the corpus, learned from its weights and from scratch.

The task is next-sentence prediction (Devlin et al. 2019, section 3.1, task 2): do two passages follow each other in a text, or
does the second come from another one? Half of the examples do, so that guessing is right half of the time.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages.lm.errors import UserError
from stages.lm.evaluation.settings import ClassificationSettings
from stages.lm.inference.loading import Trained
from stages.lm.models import registry
from stages.lm.models.bert.classifier import BertClassifier
from stages.lm.models.bert.model import BertLM
from stages.lm.models.bert.settings import BertSettings
from stages.lm.progress import progress
from stages.lm.tokens import TokenArray
from stages.lm.training.batches import Batch
from stages.lm.training.learner import Learner
from stages.lm.training.permutation import mix, uniforms
from stages.lm.training.settings import TrainingSettings

CHANCE = 0.5


class Passages:
    """Example 0, 1, ... of a split: a function of (seed, number). A passage has `length` tokens."""

    def __init__(self, tokens: TokenArray, split: str, length: int, end_of_text: int, seed: int) -> None:
        """Raises UserError where not two documents have room for two passages."""
        self.tokens, self.length, self.end_of_text = tokens, length, end_of_text
        self.key = mix(np.uint64(seed), np.uint64(3))
        self.sizes = np.diff(tokens.offsets) - 1  # without the end of text
        self.long = np.flatnonzero(self.sizes >= 2 * length)
        if len(self.long) < 2:
            raise UserError(
                f"classification.length: fewer than two documents of the {split} split have the {2 * length} tokens of two "
                "passages; lower it, or set classification to null"
            )

    def batch(self, first: int, size: int) -> Batch:
        """Examples `first` to `first + size`: ids (size, 2 length + 2), labels (size), 1 where the second passage goes on."""
        numbers = np.arange(first, first + size, dtype=np.uint64)
        labels, which, other, place, elsewhere = (uniforms(mix(self.key, np.uint64(draw)), numbers) for draw in range(5))
        rows = []
        for row in range(size):
            index = int(which[row] * len(self.long))
            start = int(place[row] * (self.sizes[self.long[index]] - 2 * self.length + 1))
            first_half, second = self._passage(index, start), self._passage(index, start + self.length)
            if labels[row] >= CHANCE:
                index = (index + 1 + int(other[row] * (len(self.long) - 1))) % len(self.long)
                second = self._passage(index, int(elsewhere[row] * (self.sizes[self.long[index]] - self.length + 1)))
            rows.append(np.concatenate(([self.end_of_text], first_half, [self.end_of_text], second)))
        ids = torch.from_numpy(np.stack(rows).astype(np.int64))
        return Batch((ids, torch.from_numpy((labels < CHANCE).astype(np.int64))), size)

    def _passage(self, index: int, start: int) -> NDArray[Any]:
        return self.tokens.document(self.long[index])[start : start + self.length]


def classify(
    trained: Trained, settings: Any, train: TokenArray, held_out: TokenArray, split: str, task: ClassificationSettings
) -> dict[str, Any]:
    """Accuracy on examples of the held-out split after fine-tuning on the train split, from the trained weights and from none.

    `settings` are the model's. Raises UserError where passages do not fit into its context, or into the documents.
    """
    assert isinstance(settings, BertSettings)
    length = min(task.length, (settings.context_length - 2) // 2)
    if length < 1:
        raise UserError("classification: needs a context_length of at least 4; raise it, or set classification to null")
    seen = Passages(train, "train", length, trained.end_of_text, task.seed)
    asked = Passages(held_out, split, length, trained.end_of_text, task.seed + 1)
    pretrained = trained.model
    assert isinstance(pretrained, BertLM)
    weights = {name: tensor.clone() for name, tensor in pretrained.state_dict().items()}
    found = {}
    for name in ("pretrained", "from_scratch"):
        encoder = registry.build(settings, pretrained.vocab_size, task.seed)
        assert isinstance(encoder, BertLM)
        if name == "pretrained":
            encoder.load_state_dict(weights)
        found[name] = _accuracy(_fine_tuned(encoder, settings, seen, task, trained.device), asked, task)
    return {"task": "next passage", "length": length, "examples": task.examples, "steps": task.steps, "chance": CHANCE, **found}


def _fine_tuned(
    encoder: BertLM, settings: BertSettings, examples: Passages, task: ClassificationSettings, device: torch.device
) -> BertClassifier:
    training = TrainingSettings(
        steps=task.steps, batch_size=task.batch_size, learning_rate=task.learning_rate, weight_decay=0.01, seed=task.seed
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        model = BertClassifier(encoder, 2, settings.dropout)
        learner = Learner(model, training, device)
        with progress("fine-tune", task.steps, " steps") as bar:
            for step in range(task.steps):
                learner.step(examples.batch(step * task.batch_size, task.batch_size), training.learning_rate_at(step + 1))
                bar.update(1)
    return model.eval()


@torch.no_grad()
def _accuracy(model: BertClassifier, examples: Passages, task: ClassificationSettings) -> float:
    right = 0
    for first in range(0, task.examples, task.batch_size):
        batch = examples.batch(first, min(task.batch_size, task.examples - first))
        ids, labels = batch.to(next(model.parameters()).device).tensors
        right += int((model(ids).argmax(dim=-1) == labels).sum())
    return right / task.examples
