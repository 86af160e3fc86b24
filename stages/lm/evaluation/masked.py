"""How well a model that sees both directions fills in hidden tokens: Salazar et al. 2020, "Masked Language Model Scoring".

Each token of a text is hidden in turn and predicted from all others. The sum of these log-probabilities is the
pseudo-log-likelihood (section 2), and exp of minus its mean the pseudo-perplexity (section 5.1, equation 2). It is the
probability of no text, since each token is predicted with knowledge of what follows it: not to be compared with perplexity.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stages.lm.errors import UserError
from stages.lm.evaluation.bootstrap import interval, resampled_sums
from stages.lm.evaluation.settings import SplitSettings
from stages.lm.inference.loading import Trained
from stages.lm.models.bert.model import BertLM, mask_id
from stages.lm.progress import progress
from stages.lm.tokens import TokenArray

TOKENS_PER_BATCH = 1 << 14


class Filled(NamedTuple):
    """What is known of each document; every array is (documents,)."""

    nats: NDArray[np.float64]
    """Minus the pseudo-log-likelihood."""
    tokens: NDArray[np.int64]
    right: NDArray[np.int64]
    """Tokens that the model thinks the most probable ones in their places."""


def fill_documents(trained: Trained, tokens: TokenArray, documents: int) -> Filled:
    """Hide each token of so many documents, evenly spread over the split, in turn.

    A document has the end-of-text token before and after it. Of one that is longer than the context, its beginning is taken.
    Raises UserError where there is no document.
    """
    if len(tokens) == 0:
        raise UserError("the split holds no documents to evaluate on; choose another with `split`, or give the corpus more")
    chosen = np.linspace(0, len(tokens) - 1, min(documents, len(tokens))).astype(np.int64)
    found = []
    with torch.inference_mode(), progress("evaluate", len(chosen), " documents") as bar:
        for index in chosen:
            found.append(_fill(trained, tokens.document(index)))
            bar.update(1)
    columns = np.array(found)
    return Filled(columns[:, 0], columns[:, 1].astype(np.int64), columns[:, 2].astype(np.int64))


def _fill(trained: Trained, document: NDArray[Any]) -> tuple[float, int, int]:
    """Nats, tokens and correct guesses of one document (ids, the last one the end of text)."""
    model = trained.model
    assert isinstance(model, BertLM)
    ids = torch.from_numpy(np.concatenate(([trained.end_of_text], document))[: model.context_length].astype(np.int64))
    places = (ids != trained.end_of_text).nonzero().squeeze(1)
    nats, right = 0.0, 0
    for part in torch.split(places, max(1, TOKENS_PER_BATCH // len(ids))):
        rows = ids.repeat(len(part), 1)
        rows[torch.arange(len(part)), part] = mask_id(model.vocab_size)
        log_probs = model.log_probs_at(rows.to(trained.device), part.to(trained.device)).double().cpu()  # (rows, vocab)
        truth = ids[part]
        nats -= float(log_probs[torch.arange(len(part)), truth].sum())
        right += int((log_probs.argmax(dim=-1) == truth).sum())
    return nats, len(places), right


def masked_statistics(filled: Filled, settings: SplitSettings) -> dict[str, Any]:
    """The content of an evaluation's stats.json."""
    columns = np.stack(filled, axis=1).astype(np.float64)
    totals, resampled = columns.sum(axis=0), resampled_sums(columns, settings.bootstrap_samples, settings.seed)
    pseudo = interval(float(np.exp(totals[0] / totals[1])), np.exp(resampled[:, 0] / resampled[:, 1]), settings.confidence)
    accuracy = interval(float(totals[2] / totals[1]), resampled[:, 2] / resampled[:, 1], settings.confidence)
    return {
        "task": "masked",
        "split": settings.split,
        "documents": len(filled.nats),
        "tokens": int(totals[1]),
        "confidence": settings.confidence,
        "nats_per_hidden_token": float(totals[0] / totals[1]),
        "pseudo_perplexity": pseudo,
        "accuracy": accuracy,
        "classification": None,
    }


def masked_summary(stats: dict[str, Any]) -> str:
    """The result in one line."""
    line = f"pseudo-perplexity {stats['pseudo_perplexity']['value']:.3f}, {stats['accuracy']['value']:.1%} of hidden tokens found"
    if stats["classification"]:
        task = stats["classification"]
        line += f"; {task['task']} {task['pretrained']:.1%} right ({task['from_scratch']:.1%} from scratch, "
        line += f"{task['chance']:.0%} by chance)"
    return line


def masked_readme(model: str, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    return f"""# Evaluation of {model}

{masked_summary(stats)[0].upper()}{masked_summary(stats)[1:]}.

Each of the {stats["tokens"]:,} tokens of {stats["documents"]:,} documents of the split `{stats["split"]}` was hidden in turn and
predicted from all others. Pseudo-perplexity is exp of the mean loss of these predictions (Salazar et al. 2020). It is not a
perplexity: the model knows what follows. An interval holds {stats["confidence"]:.0%} of the values over documents drawn again.

- `stats.json`: all results
- `losses.npy`: minus the pseudo-log-likelihood of each document, in nats (float64)
"""
