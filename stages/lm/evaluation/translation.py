"""How good translations are: BLEU and chrF as sacrebleu defines them, and the loss of the reference itself.

BLEU (Papineni et al. 2002) and chrF (Popović 2015) compare the translations found with the references, as plain text, by counts
that add up over sentences. So an interval comes from the counts of sentences drawn with replacement (Koehn 2004). The signature
of Post 2018, "A Call for Clarity in Reporting BLEU Scores", says how they were computed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from stages.lm.errors import UserError
from stages.lm.evaluation.bootstrap import Interval, interval, resampled_sums
from stages.lm.evaluation.settings import SplitSettings
from stages.lm.inference.loading import Trained
from stages.lm.inference.translating import by_length
from stages.lm.models.seq2seq.interface import Seq2Seq
from stages.lm.progress import progress
from stages.lm.tokens import PairArray
from stages.lm.training.pairs import collate


class Measured(NamedTuple):
    """A corpus score with its interval, and how it was computed."""

    interval: Interval
    signature: str


def reference_losses(trained: Trained, pairs: PairArray) -> NDArray[np.float64]:
    """-ln p(reference | source) of each pair, its end-of-text token included: float64 (pairs,).

    Raises UserError where there is no pair.
    """
    if len(pairs) == 0:
        raise UserError("the split holds no sentence pairs to evaluate on; choose another with `split`, or give the corpus more")
    model = cast(Seq2Seq, trained.model)
    losses = np.zeros(len(pairs))
    with torch.inference_mode(), progress("evaluate", len(pairs), " pairs") as bar:
        for indices in by_length(np.diff(pairs.target.offsets)):
            batch = collate(pairs, indices, trained.end_of_text).to(trained.device)
            losses[indices] = -model.token_log_probs(*batch.tensors).double().sum(dim=1).cpu().numpy()
            bar.update(len(indices))
    return losses


def translation_scores(hypotheses: Sequence[str], references: Sequence[str], settings: SplitSettings) -> dict[str, Measured]:
    """BLEU and chrF of a corpus of translations, with bootstrap intervals over sentences."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return {name: _measured(metric, hypotheses, references, settings) for name, metric in (("bleu", BLEU()), ("chrf", CHRF()))}


def _measured(metric: Any, hypotheses: Sequence[str], references: Sequence[str], settings: SplitSettings) -> Measured:
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    counts = np.array(metric._extract_corpus_statistics(list(hypotheses), [list(references)]), dtype=np.float64)
    sums = resampled_sums(counts, settings.bootstrap_samples, settings.seed)  # (samples, counts)
    resampled = np.array([metric._compute_score_from_stats(row.astype(np.int64).tolist()).score for row in sums])
    return Measured(interval(value, resampled, settings.confidence), str(metric.get_signature()))


def statistics(
    nats: NDArray[np.float64], tokens: NDArray[np.int64], scores: dict[str, Measured], settings: SplitSettings
) -> dict[str, Any]:
    """The content of an evaluation's stats.json: `tokens` are those of each reference, its end-of-text token included."""
    columns = np.stack([nats, tokens.astype(np.float64)], axis=1)
    totals = columns.sum(axis=0)
    resampled = resampled_sums(columns, settings.bootstrap_samples, settings.seed)
    perplexity = interval(float(np.exp(totals[0] / totals[1])), np.exp(resampled[:, 0] / resampled[:, 1]), settings.confidence)
    return {
        "task": "translation",
        "split": settings.split,
        "pairs": len(nats),
        "tokens": int(totals[1]),
        "confidence": settings.confidence,
        "nats_per_token": float(totals[0] / totals[1]),
        "perplexity": perplexity,
        **{name: found.interval for name, found in scores.items()},
        "signatures": {name: found.signature for name, found in scores.items()},
    }


def translation_lines(
    sources: Sequence[str], references: Sequence[str], hypotheses: Sequence[str], nats: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """What is known of each pair: its texts, the translation found, the loss of the reference."""
    rows = zip(sources, references, hypotheses, nats.tolist(), strict=True)
    return [
        {"source": source, "reference": reference, "translation": found, "reference_nats": loss}
        for source, reference, found, loss in rows
    ]


def translation_summary(stats: dict[str, Any]) -> str:
    """The result in one line."""
    shown = [f"{title} {stats[key]['value']:.2f} [{stats[key]['low']:.2f}, {stats[key]['high']:.2f}]"
             for key, title in (("bleu", "BLEU"), ("chrf", "chrF"))]  # fmt: skip
    return f"{', '.join(shown)}, perplexity {stats['perplexity']['value']:.2f}"


def translation_readme(model: str, stats: dict[str, Any]) -> str:
    """The artifact explained to a person."""
    return f"""# Translations by {model}

{translation_summary(stats)}.

The split `{stats["split"]}` has {stats["pairs"]:,} sentence pairs; the references have {stats["tokens"]:,} tokens. Translations
are compared as plain text, upper and lower case told apart. An interval holds {stats["confidence"]:.0%} of the values over
sentences drawn with replacement. Signatures: BLEU `{stats["signatures"]["bleu"]}`, chrF `{stats["signatures"]["chrf"]}`.

- `stats.json`: all results
- `translations.jsonl`: each source, its reference, the translation found, and the loss of the reference in nats
- `losses.npy`: these losses, end-of-text tokens included (float64)
- `timing.json`: how long the translations took
"""
