"""Files from the web: resumed after a break, retried, verified, and never accepted when short or wrong.

A file grows as `<name>.part` in a folder of its own under the download folder, named by its address and expected hash, and is
renamed once length and SHA-256 agree. Beside it lie `<name>.part.version`, the server's name for the version being fetched (so
that parts of different versions never mix: RFC 9110, If-Range), and `<name>.sha256`, the hash that was verified.
"""

import fcntl
import hashlib
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from requests import RequestException, Response, Session
from urllib3.exceptions import HTTPError

from stages.lm.artifacts import sha256 as hash_file
from stages.lm.errors import UserError
from stages.lm.progress import Progress, progress

log = logging.getLogger("stagecraft")

ATTEMPTS = 6
FIRST_DELAY = 1.0  # seconds; doubled after each failure in a row
TIMEOUT = 30.0  # seconds without a byte
BLOCK = 1 << 16
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class Interrupted(Exception):
    """The transfer broke off; another attempt may succeed."""


@dataclass(frozen=True)
class Target:
    """Where a download goes, and what it is expected to be."""

    url: str
    sha256: str | None
    file: Path

    @property
    def part(self) -> Path:
        return self.file.with_name(self.file.name + ".part")

    @property
    def version(self) -> Path:
        return self.file.with_name(self.file.name + ".part.version")

    @property
    def record(self) -> Path:
        return self.file.with_name(self.file.name + ".sha256")

    def is_complete(self) -> bool:
        """Whether the file is there with the hash that was verified when it came."""
        if not (self.file.is_file() and self.record.is_file()):
            return False
        return hash_file(self.file) == self.record.read_text(encoding="ascii")

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)


def download(url: str, sha256: str | None, folder: Path) -> Path:
    """The local path of the file at `url`, fetched into `folder` unless it is there already.

    Raises UserError if the server refuses it, if its SHA-256 is another than expected, or if it doesn't come whole after
    several attempts; what has come stays, and the next call goes on from there.
    """
    name = Path(unquote(urlsplit(url).path)).name or "file"
    target = Target(url, sha256, folder / hashlib.sha256(f"{url}\n{sha256}".encode()).hexdigest()[:16] / name)
    target.file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.file.parent / ".lock"):
        if not target.is_complete():
            _fetch(target)
            _accept(target)
    return target.file


def _fetch(target: Target) -> None:
    """Bring the whole file into `target.part`, in as many attempts as make progress."""
    failures = 0
    with Session() as session:
        while True:
            before = _size(target.part)
            try:
                _attempt(session, target)
                return
            except (RequestException, HTTPError, Interrupted) as error:
                failures = 1 if _size(target.part) > before else failures + 1
                if failures == ATTEMPTS:
                    raise UserError(
                        f"{target.url}: broke off {ATTEMPTS} times in a row after {_size(target.part):,} bytes ({error}); "
                        "check the network and run again, it goes on from there"
                    ) from None
                delay = FIRST_DELAY * 2 ** (failures - 1)
                log.info("%s: %s; trying again in %g s", target.url, error, delay)
                time.sleep(delay)


def _attempt(session: Session, target: Target) -> None:
    """Ask for what is missing and append it. Raises Interrupted or a transport error where it doesn't come to the end."""
    version = target.version.read_text(encoding="utf-8") if target.version.is_file() else ""
    have = _size(target.part) if version or target.sha256 else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": version} if version else {})
    with session.get(target.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:
            if _total(response) == have:
                return
            target.discard()
            raise Interrupted("the server has another version of the file now")
        _check_status(response, target.url)
        start = have if response.status_code == 206 and _range_start(response) == have else 0
        if response.status_code == 206 and start != have:
            target.discard()
            raise Interrupted("the server sent another part than asked for")
        total = _total(response)
        if total is None and target.sha256 is None and response.headers.get("Transfer-Encoding") != "chunked":
            raise UserError(f"{target.url}: the server does not say how long the file is; give its sha256 in the settings")
        target.version.write_text(_version(response), encoding="utf-8")
        with progress(target.file.name, total, "B", start) as bar:
            _append(response, target.part, start, bar)
    if total is not None and _size(target.part) != total:
        raise Interrupted(f"the connection ended after {_size(target.part):,} of {total:,} bytes")


def _append(response: Response, part: Path, start: int, bar: Progress) -> None:
    """Write the body of a response behind the first `start` bytes of the part, as the server stores it."""
    with part.open("r+b" if part.exists() else "wb") as file:
        file.truncate(start)
        file.seek(start)
        for block in response.raw.stream(BLOCK, decode_content=False):
            file.write(block)
            bar.update(len(block))


def _accept(target: Target) -> None:
    """Verify the part's SHA-256 and make it the file."""
    found = hash_file(target.part)
    if target.sha256 is not None and found != target.sha256:
        target.discard()
        raise UserError(
            f"{target.url}: has the SHA-256 {found} instead of {target.sha256} and was not accepted; check the address and sha256"
        )
    target.part.replace(target.file)
    target.record.write_text(found, encoding="ascii")
    target.version.unlink(missing_ok=True)


def _check_status(response: Response, url: str) -> None:
    """Raises Interrupted for a status that may pass, UserError for one that won't."""
    status = response.status_code
    if status in (200, 206):
        return
    if status in TRANSIENT:
        raise Interrupted(f"the server answers {status} {response.reason}")
    raise UserError(f"{url}: the server answers {status} {response.reason}; check the address in the corpus settings")


def _total(response: Response) -> int | None:
    """The length of the whole file in bytes, as far as the response tells."""
    content_range = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
    if content_range:
        return int(content_range[1])
    length = response.headers.get("Content-Length")
    return int(length) if length is not None and response.status_code == 200 else None


def _range_start(response: Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _version(response: Response) -> str:
    """What names this version of the file in an If-Range header: a strong ETag or the date of its last change; or nothing."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Only one process at a time, so that two corpora may name the same file."""
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
