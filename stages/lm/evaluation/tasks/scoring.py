"""How well a model answers: which choice it finds the most probable, and how probable it finds the right one.

A choice is scored by the probability of its whole text, context included. Between choices after the same context that makes no
difference, and nobody has to guess where the tokens of the context end and those of a choice begin. Where a text of an example is
longer than the model's context, all of them lose as many tokens at their beginning: they are compared after the same context. So

    accuracy     the share of examples whose right choice is the most probable: an exact match, all or nothing
    probability  p(right choice) / sum of p(choice): how far the model is from it, and how sure it is

A model that guesses gets 1 / choices of both, so one chance line serves them. Accuracy may jump where a growing model becomes
better step by step; the probability shows the steps (Schaeffer et al. 2023, "Are Emergent Abilities of Large Language Models a
Mirage?").
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lm.bpe.interface import TextTokenizer
from stages.lm.errors import UserError
from stages.lm.evaluation.bootstrap import ratios
from stages.lm.evaluation.losses import document_losses
from stages.lm.evaluation.settings import SplitSettings
from stages.lm.evaluation.tasks.examples import Example
from stages.lm.inference.loading import Trained
from stages.lm.tokenizers.spelling import NATS_PER_LETTER, Spelling
from stages.lm.tokens import TokenArray


def measure_tasks(
    trained: Trained,
    tokenizer: TextTokenizer,
    examples: Mapping[str, Sequence[Example]],
    settings: SplitSettings,
    batch_tokens: int | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The results of each task by name, and a line about each example."""
    stats, lines = {}, []
    for name, asked in examples.items():
        nats = choice_nats(trained, tokenizer, asked, batch_tokens)
        stats[name] = task_statistics(asked, nats, settings)
        lines += task_lines(name, asked, nats)
    return stats, lines


def choice_nats(
    trained: Trained, tokenizer: TextTokenizer, examples: Sequence[Example], batch_tokens: int | None = None
) -> list[NDArray[np.float64]]:
    """-ln p of the whole text of each choice, (choices,) for each example; unknown tokens are spelled (`tokenizers/spelling.py`).

    A text begins after an end-of-text token, as documents do, and may go on after its end.
    """
    texts = [text for example in examples for text in example.texts]
    encoded = tokenizer.encode_batch(texts, ())
    lengths = np.array([len(text.encode()) for text in texts], np.int64)
    kept = list(fitted(examples, encoded, trained.model.context_length))
    nats = document_losses(trained, TokenArray.of(kept, lengths), batch_tokens)
    if tokenizer.unknown is not None:
        whole = TokenArray.of(encoded, lengths)
        nats += NATS_PER_LETTER * Spelling(tokenizer).letters(whole.ids, np.diff(whole.offsets), lengths)
    return np.split(nats, np.cumsum([len(example.choices) for example in examples])[:-1])


def fitted(examples: Sequence[Example], encoded: Sequence[list[int]], context_length: int | None) -> Iterator[list[int]]:
    """The texts, where those of an example have lost so many tokens of their common beginning that all of them fit.

    Raises UserError where they have no such beginning.
    """
    rest = iter(encoded)
    for example in examples:
        choices = list(islice(rest, len(example.choices)))
        longest = max(map(len, choices))
        over = max(0, longest - (context_length or longest))
        common = sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*choices, strict=False)))
        if over > common:
            raise UserError(
                f"tasks: after what the choices of {example.texts[0][:40]!r} have in common they are longer than the "
                f"{context_length} tokens that the model sees; shorten them, or leave the task out"
            )
        yield from (ids[over:] for ids in choices)


def score(nats: NDArray[np.float64], answer: int) -> tuple[float, float]:
    """(1 if the answer is the most probable choice, its probability among the choices); of equally probable ones each is guessed.

    Where all choices are impossible they are equally probable.
    """
    lowest = nats.min()
    if np.isinf(lowest):
        return 1 / len(nats), 1 / len(nats)
    best = nats == lowest
    weights = np.exp(lowest - nats)
    return float(best[answer] / best.sum()), float(weights[answer] / weights.sum())


def task_statistics(examples: Sequence[Example], nats: Sequence[NDArray[np.float64]], settings: SplitSettings) -> dict[str, Any]:
    """The results of a task: of all examples, and of each level in the order in which the examples have them."""
    scores = np.array([score(costs, example.answer) for costs, example in zip(nats, examples, strict=True)])
    levels = [example.level for example in examples]
    found = _results(examples, scores, settings)
    found["levels"] = []
    for level in dict.fromkeys(levels):
        inside = [place for place, own in enumerate(levels) if own == level]
        found["levels"].append({"level": level, **_results([examples[place] for place in inside], scores[inside], settings)})
    return found


def _results(examples: Sequence[Example], scores: NDArray[np.float64], settings: SplitSettings) -> dict[str, Any]:
    accuracy, probability = ratios(scores, np.ones_like(scores), settings)
    chance = float(np.mean([1 / len(example.choices) for example in examples]))
    return {"examples": len(examples), "chance": chance, "accuracy": accuracy, "probability": probability}


def task_lines(name: str, examples: Sequence[Example], nats: Iterable[NDArray[np.float64]]) -> list[dict[str, Any]]:
    """What the model made of each example."""
    return [
        {
            "task": name,
            "level": example.level,
            "context": example.context,
            "choices": list(example.choices),
            "answer": example.answer,
            "nats": [cost if math.isfinite(cost) else None for cost in costs.tolist()],  # None: no such text can be
            "right": score(costs, example.answer)[0],
            "probability": score(costs, example.answer)[1],
        }
        for example, costs in zip(examples, nats, strict=True)
    ]
