"""What every stage script shares: its command line, its log, and its exit codes.

    python -m stages.bpe --config results/bpe/NAME/config.yaml --corpus DIR --out DIR [--log FILE]

Exit codes: 0 the artifact is complete (or the training paused where it was asked to); 2 bad settings or input, said in one line;
75 told to stop, state saved, the same command goes on.
"""

import argparse
import errno
import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.lm.errors import INSTALL, Paused, Stopped, UserError
from stages.lm.progress import IS_SPOKESMAN

log = logging.getLogger("stagecraft")

ENVIRONMENT_ERRORS = {
    errno.ENOSPC: "free some space, or put results/ on another disk",
    errno.EDQUOT: "free some of your quota, or put results/ on another disk",
    errno.EROFS: "put results/ where you may write",
    errno.EACCES: "check the permissions of that path",
    errno.EPERM: "check the permissions of that path",
}


@dataclass(frozen=True)
class Arguments:
    """A stage's command line: its settings, the artifact directory of each input by role, and where to write."""

    settings: dict[str, Any]
    inputs: dict[str, Path]
    out: Path
    config: str
    options: argparse.Namespace
    """The options that a script adds of its own: how to run, never what comes out."""


def arguments(
    stage: str,
    description: str | None,
    inputs: Sequence[str] = (),
    extend: Callable[[argparse.ArgumentParser], None] | None = None,
) -> Arguments:
    """Parse the command line of `stage`; `inputs` are the roles of the artifacts it reads, each an option `--<role> DIR`.

    `extend` may add options of the script's own to the parser; they are found in `Arguments.options`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{stage}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="YAML file with the stage's settings; - reads standard input")
    for role in inputs:
        parser.add_argument(f"--{role}", required=True, type=Path, metavar="DIR", help=f"the {role} artifact")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the artifact to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write the messages to this file")
    if extend is not None:
        extend(parser)
    parsed = parser.parse_args()
    _start_log(f"{stage} {re.sub(r'-[0-9a-f]{12}$', '', parsed.out.resolve().name)}", parsed.log)
    paths = {role: getattr(parsed, role) for role in inputs}
    return Arguments(read_settings(parsed.config), paths, parsed.out, parsed.config, parsed)


def any_artifacts(parser: argparse.ArgumentParser) -> None:
    """For `extend`: a stage that takes any number of artifacts, of which its settings name those that they mean."""
    parser.add_argument(
        "--artifact", action="append", default=[], type=Path, metavar="DIR", help="an artifact to read; may be repeated"
    )


def read_settings(config: str) -> dict[str, Any]:
    """The mapping in a YAML file, or on standard input for `-`. Raises UserError if it cannot be read as one."""
    try:
        text = sys.stdin.read() if config == "-" else Path(config).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{config}: no such settings file") from None
    except OSError as error:
        raise UserError(f"{config}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{config}: is not UTF-8 text; settings are a YAML file") from None
    try:
        settings = yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{config}: is not valid YAML: {problem}") from None
    if not isinstance(settings, dict):
        raise UserError(f"{config}: holds {type(settings).__name__}, but settings are a mapping of keys to values")
    return settings


def run(main: Callable[[], None]) -> None:
    """Run a script's main function and leave the process with the exit code that its end calls for."""
    stage = Path(sys.argv[0]).stem
    try:
        main()
    except UserError as error:
        _fail(f"{stage}: {error}")
    except Paused as paused:
        log.info("%s", paused)
    except Stopped as stopped:
        log.info("%s", stopped)
        sys.exit(Stopped.code)
    except KeyboardInterrupt:
        log.info("interrupted")
        sys.exit(130)
    except OSError as error:
        if error.errno not in ENVIRONMENT_ERRORS:
            raise
        _fail(f"{stage}: {error.filename or 'output'}: {error.strerror}; {ENVIRONMENT_ERRORS[error.errno]}")


def positive(text: str) -> int:
    """An option that is a whole number from 1 on; what is none raises what argparse turns into one line."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def is_of_the_system(line: str) -> bool:
    """Whether what a script said last is about a disk, permissions or a package: another time, the same command may succeed."""
    return line.endswith((*ENVIRONMENT_ERRORS.values(), INSTALL))


def _fail(message: str) -> None:
    log.error("error: %s", " ".join(message.split()))
    sys.exit(2)


class _UnderName(logging.Formatter):
    """Messages behind the name of their job; errors as they are, to be found by `error: ` at the start of their line."""

    def __init__(self, job: str) -> None:
        super().__init__()
        self.job = job

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.levelno >= logging.ERROR:
            return message
        return f"{self.job}:\n{message}\n" if "\n" in message else f"{self.job}: {message}"


def _start_log(job: str, file: Path | None) -> None:
    """Messages go to standard error under the name of the job, since several run at once, and to `file` with the time."""
    log.setLevel(logging.INFO)
    if not IS_SPOKESMAN:
        log.addHandler(logging.NullHandler())
        return
    console = logging.StreamHandler()
    console.setFormatter(_UnderName(job))
    log.addHandler(console)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(handler)
