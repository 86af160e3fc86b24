"""Kneser-Ney against KenLM's lmplz: the same text, the same order, the same probabilities.

The perplexities below are those of a model that lmplz of kenlm 0.3.0 made of the documents that `text` writes, by kenlm's scores:

    lmplz -o ORDER --vocab_pad 3000 < train.txt > model.arpa
    kenlm.Model("model.arpa").full_scores(line) for each line of test.txt

Words are token ids, a line is a document. `--vocab_pad 3000` gives lmplz the size of our vocabulary, so that its `<unk>` is each
of our tokens that the training text lacks. With LMPLZ naming the program, or lmplz on the path, models are made anew; the
package kenlm, where it is installed, reads our files.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from stages.lm.models.ngram.arpa import read_arpa, write_arpa
from stages.lm.models.ngram.backoff import Table, probabilities
from stages.lm.models.ngram.counts import Tokens
from stages.lm.models.ngram.estimation import estimate
from stages.lm.models.settings import NgramSettings

VOCAB = 3000
WORDS = [str(token) for token in range(VOCAB)]
PERPLEXITIES = {2: 791.89850, 3: 703.58669, 4: 707.89133, 5: 709.30916}
"""By order, of all 5,259 tokens of the test documents."""


def text(seed: int, documents: int) -> list[list[int]]:
    """Documents of a Markov chain and of words with a long tail, in integers alone, so that no library can change them."""
    state, result = seed, []
    for _ in range(documents):
        document: list[int] = []
        for _ in range(5 + state // 65536 % 40):
            state = (1103515245 * state + 12345) % 2**31
            draw, (before, last) = state // 65536, [0, 0, *document][-2:]
            rare, usual = 1 + 2990 * draw**4 // 32768**4, 1 + (7 * last + 3 * before + draw // 8192) % 900
            document.append(usual if draw % 3 else rare)
        result.append(document)
    return result


TRAIN, TEST = text(1, 2000), text(2, 200)


def stream(documents: list[list[int]]) -> Tokens:
    return np.array([token for document in documents for token in [*document, 0]], np.uint16)


def lines(documents: list[list[int]]) -> str:
    return "".join(" ".join(map(str, document)) + "\n" for document in documents)


def model(order: int) -> list[Table]:
    return estimate(stream(TRAIN), VOCAB, NgramSettings(family="ngram", order=order))


def scores(tables: list[Table]) -> list[float]:
    """log10 of the probability of every token of the test documents, their ends included."""
    rows = [np.log10(probabilities(tables, np.array([[0, *document, 0]])))[0, 1:] for document in TEST]
    return [float(value) for row in rows for value in row]


@pytest.mark.parametrize("order", PERPLEXITIES)
def test_perplexities_are_those_that_lmplz_gave(order: int) -> None:
    found = scores(model(order))
    assert len(found) == 5259
    assert 10 ** -np.mean(found) == pytest.approx(PERPLEXITIES[order], rel=1e-6)


@pytest.mark.parametrize("order", PERPLEXITIES)
def test_a_model_of_lmplz_read_from_its_file_is_ours(order: int, tmp_path: Path) -> None:
    lmplz = os.environ.get("LMPLZ") or shutil.which("lmplz")
    if lmplz is None:
        pytest.skip("lmplz is neither named by LMPLZ nor on the path")
    file = tmp_path / "model.arpa"
    command = [lmplz, "-o", str(order), "--vocab_pad", str(VOCAB), "-T", str(tmp_path), "-S", "1G", "--arpa", str(file)]
    subprocess.run(command, input=lines(TRAIN), text=True, check=True, capture_output=True)
    assert scores(read_arpa(file, WORDS, 0)) == pytest.approx(scores(model(order)), abs=2e-6)


def test_kenlm_reads_our_file_and_scores_the_same(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm", reason="the package kenlm is not installed")
    write_arpa(tmp_path / "model.arpa", model(4), WORDS, 0)
    reader = kenlm.Model(str(tmp_path / "model.arpa"))
    found = [score for document in TEST for score, *_ in reader.full_scores(" ".join(map(str, document)))]
    assert found == pytest.approx(scores(model(4)), abs=2e-6)
