"""Do generated texts repeat themselves? Measures of variety, which need no reference.

    distinct-n  different n-grams / all n-grams, over all texts together (Li et al. 2016, "A Diversity-Promoting Objective
                Function for Neural Conversation Models")
    repeated    1 - different 4-grams / all 4-grams of one text, on average over the texts: seq-rep-4 (Welleck et al. 2020,
                "Neural Text Generation with Unlikelihood Training")

Both count words and punctuation marks, so that models with different tokenizers compare. Distinct-n falls with the amount of
text, whoever wrote it: it compares only where there is about as much of it.
"""

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

WORD = re.compile(r"\w+|[^\w\s]")
DISTINCT, REPEATED = (1, 2, 3), 4


def quality(texts: Sequence[str]) -> dict[str, Any]:
    """The measures of some texts; None where they have no n-grams of a length."""
    words = [WORD.findall(text) for text in texts]
    repeated = [1 - share for share in (_different([text], REPEATED) for text in words) if share is not None]
    return {
        "words": sum(map(len, words)),
        "distinct": {str(n): _different(words, n) for n in DISTINCT},
        "repeated": sum(repeated) / len(repeated) if repeated else None,
    }


def _different(texts: Sequence[Sequence[str]], n: int) -> float | None:
    """Different n-grams / all n-grams of the texts, of which none reaches from one into the next."""
    grams = [gram for words in texts for gram in zip(*(islice(words, start, None) for start in range(n)), strict=False)]
    return len(set(grams)) / len(grams) if grams else None
