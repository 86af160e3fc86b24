"""Pseudo-perplexity worked by hand on a tiny model, blanks, and the passages of the task."""

from typing import Any

import numpy as np
import pytest
import torch

from stages.lm.bpe.pretokenization import WORDS
from stages.lm.errors import UserError
from stages.lm.evaluation.classification import Passages, classify
from stages.lm.evaluation.masked import fill_documents, masked_statistics
from stages.lm.evaluation.settings import ClassificationSettings, EvaluationSettings
from stages.lm.inference.filling import blanked, fill
from stages.lm.inference.loading import Trained
from stages.lm.inference.settings import FillingSettings
from stages.lm.models import registry
from stages.lm.models.bert.model import BertLM
from stages.lm.models.bert.settings import BertSettings
from stages.lm.settings import parse
from stages.lm.tokenizers.symbols import SymbolTokenizer
from stages.lm.tokens import TokenArray

VOCAB, END, MASK = 12, 0, 12
SETTINGS = BertSettings(family="bert", layers=1, heads=2, d_model=8, context_length=8, dropout=0.0)


def trained() -> Trained:
    model: Any = registry.build(SETTINGS, VOCAB, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return Trained(model.eval(), END, torch.device("cpu"), "")


def array(documents: list[list[int]]) -> TokenArray:
    ids = np.concatenate([[*document, END] for document in documents]).astype(np.uint16)
    return TokenArray(ids, np.cumsum([0, *(len(document) + 1 for document in documents)]), np.zeros(len(documents), np.int64))


def by_hand(model: BertLM, row: list[int]) -> tuple[float, int]:
    """Minus the sum of ln p(token | the others), one token after the other, and how many are the most probable ones."""
    nats, right = 0.0, 0
    for place, token in enumerate(row):
        if token != END:
            hidden = torch.tensor([[*row[:place], MASK, *row[place + 1 :]]])
            logits = model.logits(model(hidden)[0, place])
            nats -= float(logits.log_softmax(-1)[token])
            right += int(logits.argmax()) == token
    return nats, right


@torch.no_grad()
def test_pseudo_perplexity_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    found = trained()
    model: Any = found.model
    documents = [[3, 4, 5, 6], [7, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9]]  # of the last one the first seven tokens fit
    rows = [[END, 3, 4, 5, 6, END], [END, 7, 7, END], [END, 1, 2, 3, 4, 5, 6, 7]]
    expected = [by_hand(model, row) for row in rows]
    filled = fill_documents(found, array(documents), 10)
    assert filled.nats == pytest.approx([nats for nats, _ in expected], rel=1e-5)
    assert filled.tokens.tolist() == [4, 2, 7]
    assert filled.right.tolist() == [right for _, right in expected]
    stats = masked_statistics(filled, EvaluationSettings(bootstrap_samples=100))
    assert stats["pseudo_perplexity"]["value"] == pytest.approx(np.exp(sum(nats for nats, _ in expected) / 13), rel=1e-5)
    assert stats["accuracy"]["value"] == pytest.approx(sum(right for _, right in expected) / 13)
    assert not {"perplexity", "bits_per_byte", "nats_per_token"} & stats.keys()

    monkeypatch.setattr("stages.lm.evaluation.masked.TOKENS_PER_BATCH", 13)
    assert fill_documents(found, array(documents), 10).nats == pytest.approx(filled.nats, rel=1e-5)
    assert len(fill_documents(found, array(documents), 2).nats) == 2


@torch.no_grad()
def test_blanks_are_filled_from_both_sides() -> None:
    texts = SymbolTokenizer(["a", " ", "b", "c", "d", ".", "e", "f", "g", "h"], ["<|endoftext|>"], WORDS)
    assert texts.vocab_size == VOCAB
    found = trained()
    settings = parse(FillingSettings, {"prompts": ["a [MASK].[MASK]"], "candidates": 3}, "")
    result = fill(found, texts, settings.prompts[0], settings)
    row = [END, *texts.encode("a "), MASK, *texts.encode("."), MASK, END]
    model: Any = found.model
    for place, blank in zip((3, 5), result["blanks"], strict=True):
        shares = model.logits(model(torch.tensor([row]))[0, place]).softmax(-1)
        best = shares.topk(3)
        assert [one["token"] for one in blank] == [texts.decode([token]) for token in best.indices.tolist()]
        assert [one["probability"] for one in blank] == pytest.approx(best.values.tolist(), rel=1e-4)
    first, second = (blank[0]["token"] for blank in result["blanks"])
    assert result["completion"] == f"a {first}.{second}"
    with pytest.raises(UserError, match=r"has 9 tokens, but the model reads 8; shorten it"):
        fill(found, texts, "a b c d[MASK]"[1:], settings)


def test_a_hidden_token_takes_its_space_along() -> None:
    from stages.lm.bpe.tokenizer import Tokenizer

    vocab = [b"<|endoftext|>", *(bytes([byte]) for byte in range(256)), b" c"]
    texts = Tokenizer(dict(enumerate(vocab)), [(b" ", b"c")], ["<|endoftext|>"])
    assert blanked(texts, "a [MASK] c", 999) == [*texts.encode("a"), 999, *texts.encode(" c")]


def test_a_prompt_without_a_blank_is_refused() -> None:
    with pytest.raises(UserError, match=r"'no blank' has no blank; write \[MASK\]"):
        parse(FillingSettings, {"prompts": ["no blank"]}, "masked")


def test_half_of_the_passages_follow_each_other() -> None:
    documents = [[1 + (start + step) % 11 for step in range(20)] for start in range(11)]  # each token is followed by the next
    passages = Passages(array(documents), "train", 3, END, seed=4)
    ids, labels = passages.batch(0, 400).tensors
    assert 0.4 < labels.float().mean() < 0.6
    for row, label in zip(ids.tolist(), labels.tolist(), strict=True):
        assert (row[0], row[4]) == (END, END)
        assert label == 0 or row[5] == row[3] % 11 + 1
    assert torch.equal(passages.batch(100, 50).tensors[0], ids[100:150])
    with pytest.raises(UserError, match="fewer than two documents of the test split have the 30 tokens"):
        Passages(array(documents), "test", 15, END, seed=4)


def test_the_task_is_learned_from_weights_and_from_scratch() -> None:
    """Passages of two halves of the alphabet are told apart by their first tokens; the trained weights stay as they are."""
    documents = [[1 + 5 * (number % 2) + (number + step) % 5 for step in range(20)] for number in range(40)]
    found = trained()
    model: Any = found.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task = ClassificationSettings(length=3, steps=120, batch_size=16, examples=64, learning_rate=1e-2)
    stats = classify(found, SETTINGS, array(documents), array(documents), "test", task)
    assert stats == classify(found, SETTINGS, array(documents), array(documents), "test", task)
    assert stats["chance"] == 0.5
    assert stats["from_scratch"] > 0.6
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
