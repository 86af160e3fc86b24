"""Tasks: their files, their scores worked by hand, and results."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.errors import UserError
from stages.lm.evaluation.settings import EvaluationSettings
from stages.lm.evaluation.tasks.examples import Example, read_examples
from stages.lm.evaluation.tasks.scoring import choice_nats, fitted, score, task_lines, task_statistics
from tests.lm.evaluation.test_losses import bigram, trained

SETTINGS = EvaluationSettings(bootstrap_samples=100)

LINES = """\
{"context": "The sun rises in the", "choices": [" east.", " west.", " sea."], "answer": 1, "level": 2}

{"good": "The cats are asleep.", "bad": "The cats is asleep.", "level": "easy"}
"""
ITEMS = """\
# what cats do
- context: The sun rises in the
  choices: [" east.", " west.", " sea."]
  answer: 1
  level: 2
- {good: The cats are asleep., bad: The cats is asleep., level: easy}
"""
EXAMPLES = [
    Example("The sun rises in the", (" east.", " west.", " sea."), 1, "2"),
    Example("", ("The cats are asleep.", "The cats is asleep."), 0, "easy"),
]


@pytest.mark.parametrize(("name", "text"), [("task.jsonl", LINES), ("task.yaml", ITEMS), ("task.yml", ITEMS)])
def test_both_formats_hold_both_kinds(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_examples(tmp_path / name) == EXAMPLES


CHOICE = '{"choices": ["a", "b"], "answer": 0}\n'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("task.jsonl", CHOICE + '{"choices": ["a", "b"]}', "task.jsonl, line 2: answer: this key is required"),
        ("task.jsonl", CHOICE + "{", "task.jsonl, line 2: is not valid JSON: Expecting property name"),
        (
            "task.jsonl",
            '{"choices": ["a", "b"], "answr": 0}',
            "line 1: answer: this key is required; answr: unknown key 'answr'; did",
        ),
        ("task.jsonl", '{"choices": ["a", "b"], "answer": 2}', "line 1: answer: is 2, but the choices have the numbers 0 to 1"),
        ("task.jsonl", '{"choices": ["a", "a"], "answer": 0}', "line 1: choices: two are the same"),
        ("task.jsonl", '{"choices": ["a"], "answer": 0}', "line 1: choices: list should have at least 2 items"),
        ("task.jsonl", '{"good": "a", "bad": ""}', "line 1: good and bad: one is an empty text"),
        ("task.jsonl", '{"good": "a", "level": 1}', "line 1: bad: this key is required"),
        ("task.jsonl", '{"good": "a", "bad": 1}', "line 1: bad: input should be a valid string, not 1"),
        ("task.jsonl", CHOICE + "[]", "line 2: is no mapping"),
        ("task.jsonl", "\n", "has no examples"),
        ("task.yaml", "- {good: a, bad: b}\n- {good: a}\n", "task.yaml, line 2: bad: this key is required"),
        ("task.yaml", "good: a\nbad: b\n", "task.yaml, line 1: is no list"),
        ("task.yaml", "- good: a\n  bad: [b\n", "task.yaml, line 3: is not valid YAML"),
        ("task.yaml", "- {good: a\f, bad: b}\n", "task.yaml: is not valid YAML: unacceptable character"),
        ("task.yaml", "- {good: a, bad: b, level: 2024-13-45}\n", "task.yaml: is not valid YAML: month must be in 1..12"),
        ("task.jsonl", '{"good": "\\ud83d", "bad": "b"}', "line 1: good and bad: hold one half of a surrogate pair"),
        ("task.yaml", "", "has no examples"),
        ("task.txt", "", "is of no known type"),
    ],
)
def test_a_bad_file_is_refused_with_its_line_and_key(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        read_examples(tmp_path / name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: cannot be read: No such file"):
        read_examples(tmp_path / "none.jsonl")
    (tmp_path / "task.jsonl").write_bytes(b"\xff")
    with pytest.raises(UserError, match="is not UTF-8"):
        read_examples(tmp_path / "task.jsonl")


def test_the_most_probable_choice_and_how_probable_the_right_one_is() -> None:
    nats = -np.log([0.02, 0.06, 0.02])
    assert score(nats, 1) == (1.0, pytest.approx(0.6))
    assert score(nats, 0) == (0.0, pytest.approx(0.2))


def test_choices_that_are_alike_are_guessed() -> None:
    assert score(np.array([1.0, 1.0, 3.0]), 0)[0] == 0.5
    assert score(np.array([1.0, math.inf]), 0) == (1.0, 1.0)
    assert score(np.array([1.0, math.inf]), 1) == (0.0, 0.0)
    assert score(np.array([math.inf, math.inf]), 1) == (0.5, 0.5)


def test_a_choice_costs_what_its_whole_text_costs() -> None:
    """Three letters and the end of text, of which each has its own probability after each."""
    vocab = {0: b"<|endoftext|>", 1: b"a", 2: b"b", 3: b"c"}
    table = torch.tensor([[0.1, 0.6, 0.2, 0.1], [0.1, 0.1, 0.5, 0.3], [0.25, 0.25, 0.25, 0.25], [0.4, 0.3, 0.2, 0.1]]).log()
    tokenizer = Tokenizer(vocab, [], ["<|endoftext|>"])
    found = choice_nats(trained(bigram(table)), tokenizer, [Example("a", ("b", "ca"), 0), Example("", ("c", "b", "a"), 2)])
    assert found[0] == pytest.approx([-math.log(0.6 * 0.5), -math.log(0.6 * 0.3 * 0.3)])
    assert found[1] == pytest.approx(-np.log([0.1, 0.2, 0.6]))


def test_texts_of_an_example_that_do_not_fit_lose_as_many_tokens_of_their_context() -> None:
    short, long = Example("a", ("b", "c"), 0), Example("context", ("x", "yz"), 0)
    encoded = [[1, 2], [1, 3], [5, 6, 7, 8], [5, 6, 7, 9, 9]]
    assert list(fitted([short, long], encoded, None)) == encoded
    assert list(fitted([short, long], encoded, 3)) == [[1, 2], [1, 3], [7, 8], [7, 9, 9]]
    with pytest.raises(UserError, match="longer than the 1 tokens that the model sees"):
        list(fitted([long], encoded[2:], 1))


def test_results_of_levels_and_chance() -> None:
    examples = [
        Example("", ("a", "b"), 0, "hard"),
        Example("", ("a", "b"), 0, "easy"),
        Example("", ("a", "b", "c", "d"), 3, "easy"),
    ]
    nats = [-np.log([0.2, 0.3]), -np.log([0.4, 0.1]), -np.log([0.1, 0.1, 0.1, 0.3])]
    found = task_statistics(examples, nats, SETTINGS)
    assert (found["examples"], found["accuracy"]["value"], found["chance"]) == (
        3,
        pytest.approx(2 / 3),
        pytest.approx((0.5 + 0.5 + 0.25) / 3),
    )
    assert found["probability"]["value"] == pytest.approx((0.4 + 0.8 + 0.5) / 3)
    assert [(level["level"], level["examples"], level["chance"]) for level in found["levels"]] == [
        ("hard", 1, 0.5),
        ("easy", 2, 0.375),
    ]
    assert found["levels"][1]["accuracy"]["value"] == 1.0
    assert found["accuracy"]["low"] < 2 / 3 < found["accuracy"]["high"]


def test_lines_are_json_even_where_a_text_is_impossible() -> None:
    (line,) = task_lines("x", [Example("c", ("a", "b"), 1, "l")], [np.array([math.inf, 2.0])])
    assert line == {
        "task": "x",
        "level": "l",
        "context": "c",
        "choices": ["a", "b"],
        "answer": 1,
        "nats": [None, 2.0],
        "right": 1.0,
        "probability": 1.0,
    }
