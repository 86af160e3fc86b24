"""Downloads against a local server that cuts connections, ignores ranges, refuses, and sends wrong content."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stages.lm.corpus import download as module
from stages.lm.corpus.download import download
from stages.lm.errors import UserError

CONTENT = b"".join(hashlib.sha256(str(index).encode()).digest() for index in range(10_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server has and how it misbehaves; what it was asked for."""

    content: bytes = CONTENT
    etag: str | None = '"v1"'
    statuses: list[int] = field(default_factory=list)
    """Statuses to answer the next requests with, before serving."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes of its body the connection is cut, for the next requests."""
    ranges: bool = True
    length: bool = True
    chunked: bool = False
    address: str = ""
    asked: list[str | None] = field(default_factory=list)


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append(wanted)
            if site.statuses:
                self.send_response(site.statuses.pop(0))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            same = self.headers.get("If-Range") in (None, site.etag)
            start = int(wanted[6:-1]) if wanted and site.ranges and same else 0
            if start >= len(site.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(start, partial=bool(wanted) and site.ranges and same)

        def _send(self, start: int, partial: bool) -> None:
            body = site.content[start:]
            self.send_response(206 if partial else 200)
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
            if site.etag:
                self.send_header("ETag", site.etag)
            if site.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            elif site.length:
                self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.address = f"http://127.0.0.1:{server.server_address[1]}/data/corpus.txt.gz"
    yield site
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_once(site: Site, tmp_path: Path) -> None:
    file = download(site.address, SHA256, tmp_path)
    assert file.name == "corpus.txt.gz"
    assert file.read_bytes() == CONTENT
    assert download(site.address, SHA256, tmp_path) == file
    assert site.asked == [None]
    assert not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize("expected", [SHA256, None])
def test_a_cut_connection_is_resumed_where_it_broke(site: Site, tmp_path: Path, expected: str | None) -> None:
    site.cuts = [100_000, 50_000]
    assert download(site.address, expected, tmp_path).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=100000-", "bytes=150000-"]


@pytest.mark.parametrize("expected", [SHA256, None])
def test_a_later_run_goes_on(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str | None) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    site.cuts = [200_000]
    with pytest.raises(UserError, match=r"200,000 bytes.*run again"):
        download(site.address, expected, tmp_path)
    assert [file.name for file in tmp_path.rglob("corpus*") if not file.name.endswith(".version")] == ["corpus.txt.gz.part"]
    assert download(site.address, expected, tmp_path).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=200000-"]


@pytest.mark.parametrize("expected", [SHA256, None])
def test_a_server_without_ranges_starts_again(site: Site, tmp_path: Path, expected: str | None) -> None:
    site.ranges, site.cuts = False, [100_000]
    assert download(site.address, expected, tmp_path).read_bytes() == CONTENT


def test_parts_of_two_versions_are_not_mixed(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    site.cuts = [100_000]
    with pytest.raises(UserError):
        download(site.address, None, tmp_path)
    site.content, site.etag = CONTENT[::-1], '"v2"'
    assert download(site.address, None, tmp_path).read_bytes() == CONTENT[::-1]


def test_an_unversioned_part_is_not_trusted_without_a_hash(site: Site, tmp_path: Path) -> None:
    site.etag, site.cuts = None, [100_000]
    assert download(site.address, None, tmp_path).read_bytes() == CONTENT
    assert site.asked == [None, None]


def test_wrong_content_is_not_accepted(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"\0"
    with pytest.raises(UserError, match=f"instead of {SHA256} and was not accepted"):
        download(site.address, SHA256, tmp_path)
    assert not list(tmp_path.rglob("corpus*"))
    site.content = CONTENT
    assert download(site.address, SHA256, tmp_path).read_bytes() == CONTENT


def test_a_complete_part_needs_nothing_more(site: Site, tmp_path: Path) -> None:
    file = download(site.address, SHA256, tmp_path)
    file.rename(file.with_name(file.name + ".part"))
    assert download(site.address, SHA256, tmp_path).read_bytes() == CONTENT
    assert site.asked == [None, f"bytes={len(CONTENT)}-"]


def test_a_damaged_file_is_fetched_again(site: Site, tmp_path: Path) -> None:
    file = download(site.address, None, tmp_path)
    file.write_bytes(CONTENT[:-1])
    assert download(site.address, None, tmp_path).read_bytes() == CONTENT


def test_chunked_transfers_are_whole_or_refused(site: Site, tmp_path: Path) -> None:
    site.chunked, site.etag, site.cuts = True, None, [100_000]
    assert download(site.address, None, tmp_path).read_bytes() == CONTENT
    assert len(site.asked) == 2


def test_without_length_or_hash_nothing_vouches_for_a_file(site: Site, tmp_path: Path) -> None:
    site.length = False
    with pytest.raises(UserError, match="how long the file is; give its sha256"):
        download(site.address, None, tmp_path)
    assert download(site.address, SHA256, tmp_path).read_bytes() == CONTENT


def test_passing_trouble_is_waited_out(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 429, 500]
    assert download(site.address, SHA256, tmp_path).read_bytes() == CONTENT
    site.statuses = [503] * 20
    with pytest.raises(UserError, match=r"broke off 6 times in a row .*503"):
        download(site.address + "2", None, tmp_path)


def test_a_refusal_is_final(site: Site, tmp_path: Path) -> None:
    site.statuses = [404]
    with pytest.raises(UserError, match="answers 404 Not Found; check the address"):
        download(site.address, None, tmp_path)
    assert len(site.asked) == 1


def test_a_name_in_the_address_does_not_lead_out_of_the_folder(site: Site, tmp_path: Path) -> None:
    file = download(site.address + "/..%2f..%2f..%2fescaped", None, tmp_path / "downloads")
    assert file.resolve().is_relative_to(tmp_path / "downloads")
    assert file.name == "escaped"
