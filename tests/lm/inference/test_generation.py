"""Generation with models whose every step is known, and cached against uncached decoding with a real one."""

import math
from typing import Any

import pytest
import torch

from stages.lm.inference import generation
from stages.lm.inference.generation import Completion, Request, sample_generator
from stages.lm.inference.loading import Trained
from stages.lm.inference.settings import DecodingSettings
from stages.lm.inference.stopping import Stop

END = 0
GREEDY = DecodingSettings(temperature=0.0, repetition_penalty=1.0, max_tokens=8)


class Rows(list[list[int]]):
    """The ids that each row has read."""

    def put(self, rows: torch.Tensor, other: "Rows") -> None:
        for row, ids in zip(rows.tolist(), other, strict=True):
            self[row] = ids

    def reorder(self, rows: torch.Tensor) -> None:
        self[:] = [list(self[row]) for row in rows]


class Bigram:
    """ln p(next | last) is table[last, next]; keeps what it was given to read."""

    def __init__(self, table: torch.Tensor, context_length: int | None = None) -> None:
        self.table, self.context_length, self.vocab_size = table.log(), context_length, len(table)
        self.read: list[Rows] = []

    def start(self, batch: int) -> Rows:
        self.read.append(Rows([] for _ in range(batch)))
        return self.read[-1]

    def advance(self, state: Rows, ids: torch.Tensor) -> torch.Tensor:
        for row, new in zip(state, ids.tolist(), strict=True):
            row += new
            assert self.context_length is None or len(row) <= self.context_length
        return self.table[ids[:, -1]]


def trained(model: Any) -> Trained:
    return Trained(model, END, torch.device("cpu"), "")


def chain(*successors: int, context_length: int | None = None) -> Bigram:
    """A model that is sure that token i is followed by successors[i]."""
    return Bigram(torch.eye(len(successors))[list(successors)], context_length)


def generate(
    trained: Trained, prompt: list[int], settings: DecodingSettings, generators: list[torch.Generator]
) -> list[Completion]:
    """The same prompt for every generator."""
    return generation.generate(trained, [Request(prompt, generator) for generator in generators], settings, Stop(END))


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
        scores = transformer.advance(transformer.start(1), torch.tensor([ids]))
        assert int(scores.argmax()) == token
        ids.append(token)
    assert completion.stop_reason == "end of text" or len(completion.tokens) == 40


def test_cached_and_uncached_probabilities_agree(transformer: Any) -> None:
    ids = torch.randint(40, (3, 30), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        state = transformer.start(3)
        steps = [transformer.advance(state, ids[:, :4])]
        for end in range(5, 31):
            steps.append(transformer.advance(state, ids[:, end - 1 : end]))
        for position, scores in enumerate(steps, start=4):
            assert torch.allclose(transformer.advance(transformer.start(3), ids[:, :position]), scores, atol=1e-5)


def test_texts_that_wait_take_the_rows_of_those_that_end() -> None:
    """Prompts of many lengths, two at a time; the model is sure of 1 -> 2 -> 3 -> END."""
    model = chain(1, 2, 3, END)
    prompts = [[1, 2], [], [3], [2, 2, 2, 2, 1], [1]]
    requests = [Request(prompt, generator) for prompt, generator in zip(prompts, generators(5), strict=True)]
    found = generation.generate(trained(model), requests, GREEDY, Stop(END), at_once=2)
    assert [completion.tokens for completion in found] == [[3], [1, 2, 3], [], [2, 3], [2, 3]]
    assert all(len(rows) <= 2 for rows in model.read)


def test_rows_that_nobody_needs_are_dropped_or_kept() -> None:
    """Four texts; all but the last end with their second token, and what is read says how many rows there were."""
    widths: dict[bool, list[int]] = {}
    for keeps_rows in (False, True):
        model, widths[keeps_rows] = chain(1, 2, 3, END), []
        advance = model.advance
        model.advance = lambda state, ids, w=widths[keeps_rows], f=advance: (w.append(len(ids)), f(state, ids))[1]  # type: ignore
        requests = [Request(prompt, generator) for prompt, generator in zip([[2], [2], [2], []], generators(4), strict=True)]
        settings = GREEDY.model_copy(update={"compile": keeps_rows})
        found = generation.generate(trained(model), requests, settings, Stop(END))
        assert [completion.tokens for completion in found] == [[3], [3], [3], [1, 2, 3]]
    assert widths[False] == [1, 3, 4, 1, 1]
    assert widths[True] == [1, 3, 4, 4, 4]


def test_tokens_stream_as_they_come_and_say_why_their_text_ends() -> None:
    requests = [Request([], torch.Generator()), Request([1, 2], torch.Generator())]
    tokens = generation.stream(trained(chain(1, 2, 3, END)), requests, GREEDY, Stop(END))
    assert [(token.text, token.id, token.stop_reason) for token in tokens] == [
        (0, 1, None), (1, 3, None), (0, 2, None), (1, END, "end of text"), (0, 3, None), (0, END, "end of text"),
    ]  # fmt: skip


def test_log_probabilities_are_those_of_the_model_before_the_settings_change_them() -> None:
    table = torch.tensor([[0.0, 0.6, 0.4], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    settings = GREEDY.model_copy(update={"log_probs": True, "repetition_penalty": 9.0, "repetition_window": 1})
    [completion] = generate(trained(Bigram(table)), [2], settings, generators(1))
    assert (completion.tokens, completion.stop_reason) == ([1], "end of text")
    assert completion.log_probs == pytest.approx([math.log(0.8), math.log(0.5)])


def test_a_piece_that_ends_a_text_is_no_part_of_its_tokens() -> None:
    """Of x|yz|a the piece za takes the end of yz, whose y is text without a token; the end-of-text token has its ln p."""
    stop = Stop(END, pieces=(b"za",), vocab={0: b"<end>", 1: b"x", 2: b"yz", 3: b"a"})
    scored = GREEDY.model_copy(update={"log_probs": True})
    requests = [Request([], torch.Generator()), Request([2], torch.Generator())]
    cut, ended = generation.generate(trained(chain(1, 2, 3, END)), requests, scored, stop)
    assert (cut.tokens, cut.rest, cut.stop_reason, cut.log_probs) == ([1], b"y", "stop text", [0.0])
    assert (ended.tokens, ended.rest, ended.stop_reason, ended.log_probs) == ([3], b"", "end of text", [0.0, 0.0])


def test_frequency_counts_what_was_written_and_not_the_prompt() -> None:
    """0.5 falls to 0.25 by a presence penalty of ln 2, below the other token's 0.4; by frequency it takes two of them."""
    table = torch.tensor([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4], [0.1, 0.5, 0.4]])
    presence = GREEDY.model_copy(update={"presence_penalty": math.log(2), "max_tokens": 5})
    frequency = GREEDY.model_copy(update={"frequency_penalty": math.log(1.2), "max_tokens": 5})
    assert generate(trained(Bigram(table)), [1], presence, generators(1))[0].tokens == [1, 2, 1, 1, 1]
    # 1: .5 | .5/1.2 = .417 | .347, 2: .4 | .4 | .4 | .333 | .333: so 1, 1, 2, 1, 2
    assert generate(trained(Bigram(table)), [1], frequency, generators(1))[0].tokens == [1, 1, 2, 1, 2]
