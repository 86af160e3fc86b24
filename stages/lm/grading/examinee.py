"""A submission at work: it is asked, and answers or fails, in a process of its own that may end in any way.

Time and memory are measured from outside, by the clock and the counters of the grader.
"""

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from stages.lm.errors import UserError
from stages.lm.grading import packing
from stages.lm.grading.isolation import Bounds
from stages.lm.grading.processes import family, forget_peak, peak_of, resident, send
from stages.lm.grading.rubric import Limits
from stages.lm.grading.submission import copy, legible
from stages.lm.provenance import ROOT

CHILD = ROOT / "stages/lm/grading/child.py"
UNTOUCHED = ("-P", "-s")
"""Python that imports nothing from the folder it is in, nor from a user's own; -I would, but makes every run's hashes others."""
START_SECONDS = 120.0
"""How long the process may take to start, of which the submission's code has no part."""
TICK = 0.2
"""Seconds between two looks at whether the process is still there."""


@dataclass(frozen=True)
class Answered:
    """What came back: a value, or in words why there is none."""

    value: Any = None
    fault: str | None = None
    seconds: float = 0.0
    peak: int = 0
    """By how many bytes its memory grew, at most, from the question to the answer."""
    hung: bool = False


class Examinee:
    """The submission in a folder. Its process is started when it is needed, and again after it has ended."""

    def __init__(self, folder: Path, work: Path, limits: Limits, module: str) -> None:
        self.folder, self.work, self.limits, self.module = folder, work, limits, module
        self.isolation: list[str] = []
        self.spent = 0.0
        self.unusable: str | None = None
        """Why it cannot be asked anything: it was never there, or its time is used up."""
        self._process: subprocess.Popen[bytes] | None = None
        self._questions = self._answers = self._worker = -1
        self._looked = 0.0
        """When its memory was last looked at."""

    def ask(self, check: str, given: Any) -> Answered:
        """Let the probe of a check run on these inputs."""
        if self._process is None and self.unusable is None:
            if (self.folder / f"{self.module}.py").is_file():
                self._start()
            else:
                self.unusable = f"there is no {self.module}.py at the top of the submission"
        if self.unusable is not None:
            return Answered(fault=self.unusable)
        answered = self._exchange(check, given)
        self.spent += answered.seconds
        if self.spent > self.limits.total_seconds:
            self.stop()
            self.unusable = f"was not run: what came before took more than {self.limits.total_seconds:g} s in all"
        return answered

    def stop(self) -> None:
        """End its process and all that it has started."""
        if self._process is None:
            return
        self._pause()  # what stands still starts nothing while it is counted
        send(signal.SIGKILL, [*family(self._process.pid)])
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._questions)
        os.close(self._answers)
        self._process = None

    def _start(self) -> None:
        """Start the process and let it load the submission's module. Raises UserError where it does not get so far."""
        with tempfile.TemporaryFile() as said:
            self._spawn(said)
            started = self._read(time.monotonic() + START_SECONDS)
            if isinstance(started, Answered):
                raise UserError(
                    f"the process that runs a submission does not start: it {started.fault}{last_line(said)}; "
                    "raise the rubric's limits if they are the reason"
                )
        self.isolation, self._worker = started["isolation"], self._only_child()
        imported = self._exchange(None, None)
        if imported.fault is not None:
            self.stop()
            self.unusable = f"{self.module}.py cannot be imported: it {imported.fault}"

    def _spawn(self, said: IO[bytes]) -> None:
        """Start the process, which writes to `said` until it is ready."""
        theirs_in, self._questions = os.pipe()
        self._answers, theirs_out = os.pipe()
        bounds = Bounds(self.limits.memory_mb, self.limits.file_mb, int(self.limits.total_seconds) + 60, self.limits.processes)
        paths = [str(path) for path in (ROOT, self.folder, self.work)]
        command = [sys.executable, *UNTOUCHED, str(CHILD), *paths, json.dumps(asdict(bounds)), str(theirs_in), str(theirs_out)]
        silent = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, stdin=silent, stdout=silent, stderr=said, cwd=self.work, env=environment(self.work),
            pass_fds=(theirs_in, theirs_out), start_new_session=True,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        os.set_blocking(self._questions, False)

    def _exchange(self, check: str | None, given: Any) -> Answered:
        """Ask, wait, and measure; ends the process where no answer came. Without a check the module is loaded, no more."""
        nonce, seconds = secrets.token_hex(16), self.limits.seconds
        message = packing.pack({"nonce": nonce, "module": self.module, "check": check, "given": given})
        assert self._process is not None
        send(signal.SIGCONT, family(self._process.pid))
        before, start = forget_peak(self._worker), time.monotonic()
        while True:
            reply = self._write(message, start + seconds) or self._read(start + seconds)
            if isinstance(reply, Answered):
                self.stop()
                return Answered(fault=reply.fault, seconds=time.monotonic() - start, hung=reply.hung)
            if isinstance(reply, dict) and reply.get("nonce") == nonce:
                break
            message = b""  # what came was not asked for
        took, peak = time.monotonic() - start, max(0, peak_of(self._worker) - before)
        self._pause()  # what it has left running shall not slow down our own code, nor take what nobody counts
        if "error" in reply:
            return Answered(fault=legible(str(reply["error"])), seconds=took)
        return Answered(reply.get("answer"), None, took, peak)

    def _write(self, message: bytes, deadline: float) -> Answered | None:
        """Ask, unless the process does not listen in time."""
        left = memoryview(message)
        while left:
            ready = self._ready([], [self._questions], deadline)
            if isinstance(ready, Answered):
                return ready
            try:
                left = left[os.write(self._questions, left) :] if ready else left
            except BrokenPipeError:
                return self._ended()
        return None

    def _late(self) -> Answered:
        return Answered(fault=f"did not end within {self.limits.seconds:g} s and was stopped", hung=True)

    def _read(self, deadline: float) -> Any:
        """The next message, or what became of the process instead."""
        try:
            head = self._bytes(8, deadline)
            return head if isinstance(head, Answered) else self._body(packing.length(head), deadline)
        except packing.Malformed:
            return Answered(fault="wrote something else into the grader's answers")

    def _body(self, count: int, deadline: float) -> Any:
        body = self._bytes(count, deadline)
        return body if isinstance(body, Answered) else packing.unpack(body)

    def _bytes(self, count: int, deadline: float) -> bytes | Answered:
        found = bytearray()
        while len(found) < count:
            ready = self._ready([self._answers], [], deadline)
            if isinstance(ready, Answered):
                return ready
            if ready:
                part = os.read(self._answers, count - len(found))
                if not part:
                    return self._ended()
                found += part
        return bytes(found)

    def _ready(self, reading: list[int], writing: list[int], deadline: float) -> bool | Answered:
        """Whether a pipe is ready within a moment; or why nothing is to be waited for any more."""
        assert self._process is not None
        now = time.monotonic()
        if now >= deadline:
            return self._late()
        if now >= self._looked + TICK:
            self._looked = now
            if sum(map(resident, family(self._process.pid))) > self.limits.memory_mb << 20:
                return Answered(fault="took more memory in all its processes than there is for it")
        ready = any(select.select(reading, writing, [], min(deadline - now, TICK)))
        if not ready and self._process.poll() is not None:
            return self._ended()
        return ready

    def _ended(self) -> Answered:
        """In words how the process came to its end."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.poll()
        if code is None or code >= 0:
            return Answered(fault=f"ended the process it ran in{f' with exit code {code}' if code is not None else ''}")
        return Answered(fault=f"was ended by the system with {signal.Signals(-code).name}")

    def _pause(self) -> None:
        """Let its process and all that descend from it stand still; a parent first, so that it begets no more."""
        assert self._process is not None
        send(signal.SIGSTOP, family(self._process.pid))

    def _only_child(self) -> int:
        """The process in which the submission's code will run: the child of the one that was started, or that one itself."""
        assert self._process is not None
        pid = self._process.pid
        with suppress(OSError, IndexError):
            return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid


def last_line(said: IO[bytes]) -> str:
    """The end of what a process said, which names the error where it came to one."""
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return f" ({legible(lines[-1])})" if lines else ""


def environment(work: Path) -> dict[str, str]:
    """What the process knows of the system: none of the grader's settings of Python, and for strings the same hashes always."""
    known = {"PATH": os.environ.get("PATH", ""), "HOME": str(work), "TMPDIR": str(work), "LANG": "C.UTF-8"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return known | threads | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}


@contextmanager
def examined(submission: Path, limits: Limits, module: str) -> Iterator[Examinee]:
    """A copy of the submission at work, in a scratch folder that is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True) as scratch:
        folder, work = Path(scratch, "submission"), Path(scratch, "work")
        copy(submission, folder)
        work.mkdir()
        examinee = Examinee(folder, work, limits, module)
        try:
            yield examinee
        finally:
            examinee.stop()
