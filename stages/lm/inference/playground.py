"""A playground in the terminal: what is typed is a prompt, the model goes on with it, and settings change in between.

python -m stages.decode play --model results/train/gpt-… --tokenizer results/bpe/bpe-…
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from stages.lm import artifacts, script
from stages.lm.bpe.interface import TextTokenizer
from stages.lm.errors import UserError
from stages.lm.inference import loading
from stages.lm.inference.generation import Request, Token, sample_generator, stream
from stages.lm.inference.loading import Trained
from stages.lm.inference.settings import DecodingSettings, SamplingSettings
from stages.lm.inference.stopping import stop_of
from stages.lm.inference.streaming import text_of
from stages.lm.models import registry
from stages.lm.settings import parse, unknown
from stages.lm.tokenizers.files import read_tokenizer

LIVE = [*SamplingSettings.model_fields, "max_tokens", "stop", "stop_ids", "seed"]
"""The settings that can be changed between two texts."""

HELP = """\
A line is a prompt, and an empty one leaves the whole text to the model. Lines that begin with / are commands:

    /NAME VALUE    change a setting, in YAML: /temperature 0.5, /top_k null, /stop ["."]
    /NAME          show it
    /settings      show all
    /again         the last prompt again, with other random numbers
    /help          this
    /quit          leave; so does the end of the input

The settings are those of `decoding` in a config; config/README.md explains them. After /seed N the texts that follow are the same
every time.
"""


def play(arguments: Sequence[str]) -> int:
    """Try a model in the terminal."""
    parser = argparse.ArgumentParser(prog="python -m stages.decode play", description=play.__doc__)
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="the train artifact")
    parser.add_argument("--tokenizer", required=True, type=Path, metavar="DIR", help="the tokenizer artifact")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU where there is one")
    parser.add_argument("--threads", type=script.positive, default=2, metavar="N", help="processor threads of the model")
    args = parser.parse_args(arguments)
    model, tokenizer = artifacts.read(args.model, "train"), artifacts.read(args.tokenizer, "bpe")
    registry.check_tokenizer(model.path, tokenizer.digest, tokenizer.path)
    description = registry.describe(model.path)
    if description.settings.task != "language model":
        raise UserError(f"--model: {args.model} is of family {description.family}, which writes no texts from a prompt")
    trained = loading.load(model, args.device, args.threads)
    Playground(trained, read_tokenizer(tokenizer.path), _show).run(_lines())
    return 0


class Playground:
    """The state of a session: settings, the last prompt, how many texts the seed has given."""

    def __init__(self, trained: Trained, tokenizer: TextTokenizer, show: Callable[[str], object]) -> None:
        self.trained, self.tokenizer, self.show = trained, tokenizer, show
        self.settings = DecodingSettings()
        self.prompt, self.texts = "", 0

    def run(self, lines: Iterable[str]) -> None:
        """Answer every line. What is wrong with one is said, and the next one counts."""
        self.show("/help says what can be done here\n")
        for line in lines:
            if line.strip() == "/quit":
                return
            try:
                self._answer(line)
            except UserError as error:
                self.show(f"{error}\n")

    def _answer(self, line: str) -> None:
        if not line.startswith("/") or line.strip() == "/again":
            self._write(line if not line.startswith("/") else self.prompt)
            return
        name, _, value = line[1:].strip().partition(" ")
        if name == "help":
            self.show(HELP)
        elif name == "settings":
            self.show("".join(self._shown(name) for name in LIVE))
        elif name not in LIVE:
            raise UserError(unknown(f"/{name}", "command", name, [*LIVE, "help", "settings", "again", "quit"]))
        else:
            if value:
                self._change(name, value)
            self.show(self._shown(name))

    def _change(self, name: str, value: str) -> None:
        try:
            given = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"/{name}: {value!r} is no YAML") from None
        self.settings = parse(DecodingSettings, self.settings.resolved() | {name: given}, "")
        if name == "seed":
            self.texts = 0

    def _shown(self, name: str) -> str:
        return f"{name}: {getattr(self.settings, name)!r}\n"

    def _write(self, prompt: str) -> None:
        """A text, as it comes, and a line about it."""
        stop = stop_of(self.settings, self.trained.end_of_text, self.tokenizer)
        request = Request(self.tokenizer.encode(prompt), sample_generator(self.settings.seed, 0, self.texts))
        self.prompt, self.texts, began, written = prompt, self.texts + 1, time.perf_counter(), list[Token]()

        def noted() -> Iterator[Token]:
            for token in stream(self.trained, [request], self.settings, stop):
                written.append(token)
                yield token

        self.show(prompt)
        for piece in text_of(noted(), self.tokenizer.vocab, stop):
            self.show(piece)
        rate = len(written) / (time.perf_counter() - began)
        self.show(f"\n── {len(written)} tokens, {written[-1].stop_reason}, {rate:.0f} tokens/s\n")


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _lines() -> Iterator[str]:
    """What is typed, or piped in."""
    while True:
        try:
            yield input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
