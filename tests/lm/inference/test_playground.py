"""A session in the playground, as it is typed."""

import subprocess
import sys

import pytest
import torch

from stages.lm.bpe.tokenizer import Tokenizer
from stages.lm.inference.loading import Trained
from stages.lm.inference.playground import Playground, play
from tests.lm.inference.test_generation import END, chain
from tests.stage_runs import ROOT
from tests.toy_line import Line

TOKENIZER = Tokenizer({0: b"<|endoftext|>", 1: b"a", 2: b"b", 3: b"c"}, [], ["<|endoftext|>"])


def session(*lines: str) -> str:
    """What it shows, with a model that is sure of a, b, c, end."""
    shown: list[str] = []
    Playground(Trained(chain(1, 2, 3, END), END, torch.device("cpu"), ""), TOKENIZER, shown.append).run(lines)
    return "".join(shown)


def test_a_line_is_a_prompt_and_the_text_goes_on_from_it() -> None:
    shown = session("a", "", "/again")
    assert shown.count("abc\n── ") == 3
    assert "── 3 tokens, end of text" in shown


def test_settings_change_for_the_next_text() -> None:
    shown = session("/max_tokens 1", "a", '/stop ["c"]', "/max_tokens 9", "a", "/temperature")
    assert "max_tokens: 1\nab\n── 1 tokens, max tokens" in shown
    assert "ab\n── 2 tokens, stop text" in shown
    assert "temperature: 0.8\n" in shown
    assert "top_k: None\n" in session("/settings")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/temprature 1", "/temprature: unknown command 'temprature'; did you mean 'temperature'?"),
        ("/temperature -1", "temperature: input should be greater than or equal to 0"),
        ("/top_k [", "/top_k: '[' is no YAML"),
        ("/device cuda", "unknown command"),
    ],
)
def test_a_mistake_is_said_and_the_session_goes_on(line: str, said: str) -> None:
    shown = session(line, "a")
    assert said in shown
    assert "abc\n" in shown


def test_nothing_is_answered_after_quit() -> None:
    assert "abc" not in session("/quit", "a")


@pytest.mark.parametrize("threads", ["0", "-1", "two"])
def test_threads_are_a_positive_number(threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        play(["--model", "one", "--tokenizer", "other", "--threads", threads])
    assert f"argument --threads: {threads!r} is no whole number from 1 on" in capsys.readouterr().err


def test_the_command_reads_what_is_piped_into_it(toy_line: Line) -> None:
    command = [sys.executable, "-m", "stages.decode", "play", "--model", toy_line.trigram, "--tokenizer", toy_line.tokenizer]
    typed = "/max_tokens 5\n/help\nOnce upon\n"
    done = subprocess.run(command, input=typed, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "/NAME VALUE" in done.stdout
    assert "Once upon" in done.stdout
    assert " tokens/s" in done.stdout
