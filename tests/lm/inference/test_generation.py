"""Generation with models whose every step is known, and cached against uncached decoding with a real one."""

from typing import Any

import pytest
import torch

from stages.lm.inference.generation import generate, prefill, sample_generator
from stages.lm.inference.loading import Trained
from stages.lm.inference.settings import DecodingSettings

END = 0
GREEDY = DecodingSettings(temperature=0.0, repetition_penalty=1.0, max_tokens=8)


class Bigram:
    """ln p(next | last) is table[last, next]; keeps what it was given to read."""

    def __init__(self, table: torch.Tensor, context_length: int | None = None) -> None:
        self.table, self.context_length, self.vocab_size = table.log(), context_length, len(table)
        self.read: list[list[list[int]]] = []

    def start(self, batch: int) -> list[list[int]]:
        self.read.append([[] for _ in range(batch)])
        return self.read[-1]

    def advance(self, state: list[list[int]], ids: torch.Tensor) -> torch.Tensor:
        for row, new in zip(state, ids.tolist(), strict=True):
            row += new
            assert self.context_length is None or len(row) <= self.context_length
        return self.table[ids[:, -1]]


def trained(model: Any) -> Trained:
    return Trained(model, END, torch.device("cpu"), "")


def chain(*successors: int, context_length: int | None = None) -> Bigram:
    """A model that is sure that token i is followed by successors[i]."""
    return Bigram(torch.eye(len(successors))[list(successors)], context_length)


def generators(count: int) -> list[torch.Generator]:
    return [sample_generator(seed=0, prompt=0, number=number) for number in range(count)]


def test_greedy_decoding_follows_the_most_probable_chain_until_the_end() -> None:
    [completion] = generate(trained(chain(2, 3, 1, END)), [], GREEDY, generators(1))
    assert (completion.tokens, completion.stop_reason) == ([2, 1, 3], "end of text")


def test_a_text_stops_at_the_most_tokens_and_an_ending_at_that_very_point_counts_as_the_end() -> None:
    three = GREEDY.model_copy(update={"max_tokens": 3})
    [completion] = generate(trained(chain(2, 3, 1, END)), [], three, generators(1))
    assert (completion.tokens, completion.stop_reason) == ([2, 1, 3], "max tokens")
    [completion] = generate(trained(chain(2, 3, 1, END)), [1], three, generators(1))
    assert (completion.tokens, completion.stop_reason) == ([3], "end of text")


def test_a_prompt_follows_the_boundary_and_keeps_its_end_when_it_is_too_long() -> None:
    model = chain(1, 2, 3, END, context_length=4)
    generate(trained(model), [1, 2], GREEDY, generators(1))
    assert model.read[0][0][:3] == [END, 1, 2]
    model = chain(1, 2, 3, END, context_length=4)
    generate(trained(model), [3, 3, 3, 1, 2], GREEDY, generators(1))
    assert model.read[0] == [[3, 3, 1, 2]]


def test_past_the_context_the_model_starts_anew_from_its_last_half() -> None:
    model = chain(1, 2, 3, 1, context_length=4)  # 0 1 2 3 1 2 3 1 2 ..., without end
    [completion] = generate(trained(model), [], GREEDY, generators(1))
    assert completion.tokens == [1, 2, 3, 1, 2, 3, 1, 2]
    # full after 0 1 2 3; anew from the last two, 3 1, and full again after two more; the last token is not read any more
    assert model.read == [[[0, 1, 2, 3]], [[3, 1, 2, 3]], [[3, 1]]]


def test_a_sample_does_not_depend_on_what_is_generated_beside_it() -> None:
    table = torch.rand((12, 12), generator=torch.Generator().manual_seed(0)).softmax(dim=-1)
    settings = DecodingSettings(max_tokens=30)
    together = generate(trained(Bigram(table)), [3], settings, generators(4))
    alone = [generate(trained(Bigram(table)), [3], settings, [generator])[0] for generator in generators(4)]
    assert together == alone
    assert len({tuple(completion.tokens) for completion in together}) == 4


def test_the_penalty_sees_the_recent_text_but_not_the_boundary() -> None:
    # every token is followed by the end with 0.4, by 1 with 0.32 and by 2 with 0.28
    table = torch.tensor([[0.0, 0.5, 0.5], [0.4, 0.32, 0.28], [0.4, 0.32, 0.28]])
    settings = GREEDY.model_copy(update={"repetition_penalty": 5.0, "repetition_window": 1, "max_tokens": 4})
    [completion] = generate(trained(Bigram(table)), [2], settings, generators(1))
    assert completion.tokens == []  # a penalised boundary would have lost to 1
    table = torch.tensor([[0.0, 0.6, 0.4], [0.0, 0.6, 0.4], [0.0, 0.6, 0.4]])
    [completion] = generate(trained(Bigram(table)), [], settings, generators(1))
    assert completion.tokens == [1, 2, 1, 2]  # with a window of one, each token makes way for the other


def test_generators_differ_by_seed_prompt_and_number() -> None:
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)]
    assert len({torch.rand(1, generator=sample_generator(*key)).item() for key in keys}) == len(keys)
    assert torch.equal(torch.rand(3, generator=sample_generator(1, 2, 3)), torch.rand(3, generator=sample_generator(1, 2, 3)))


@pytest.fixture(scope="module")
def transformer() -> Any:
    from stages.lm.models import registry
    from stages.lm.models.settings import TransformerSettings

    settings = TransformerSettings(family="transformer", layers=2, heads=2, d_model=32, context_length=64)
    return registry.build(settings, vocab_size=40, seed=0)


def test_cached_and_uncached_decoding_choose_the_same_tokens(transformer: Any) -> None:
    greedy = GREEDY.model_copy(update={"max_tokens": 40})
    [completion] = generate(trained(transformer), [5, 7, 9], greedy, generators(1))
    ids = [END, 5, 7, 9]
    for token in completion.tokens:
        _, scores = prefill(transformer, torch.tensor([ids]))
        assert int(scores.argmax()) == token
        ids.append(token)
    assert completion.stop_reason == "end of text" or len(completion.tokens) == 40


def test_cached_and_uncached_probabilities_agree(transformer: Any) -> None:
    ids = torch.randint(40, (3, 30), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        context, stepwise = prefill(transformer, ids[:, :4])
        steps = [stepwise]
        for end in range(5, 31):
            steps.append(transformer.advance(context.state, ids[:, end - 1 : end]))
        for position, scores in enumerate(steps, start=4):
            assert torch.allclose(prefill(transformer, ids[:, :position])[1], scores, atol=1e-5)
