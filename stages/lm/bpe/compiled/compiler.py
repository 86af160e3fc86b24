"""Compile functions with numba, once for a machine: `@compiled`.

The compiled code lies beside its source, or where NUMBA_CACHE_DIR says, or in the user's cache folder; without a folder that can
be written it is made anew in each process. numba itself takes a function's code for fresh while its own file does not change; but
functions are built into one another, so here all files of its folder and of this one must be the same. A damaged file counts as
none, and processes that compile at the same time do the same work twice: each file is moved into place when it is whole.
"""

import hashlib
import logging
import pickle
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

log = logging.getLogger("stagecraft")

DAMAGED = (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ImportError, pickle.UnpicklingError)
"""What reading a file raises that is not what was written."""


def compiled(function: Any) -> Any:
    """The function compiled, for calls without Python's lock."""
    dispatcher = njit(nogil=True)(function)
    try:
        dispatcher._cache = SharedCache(function)
    except RuntimeError:
        say_once("found no place to keep compiled code; NUMBA_CACHE_DIR names one")
    return dispatcher


@cache
def say_once(message: str) -> None:
    log.info("%s", message)


@cache
def sources(folder: Path) -> str:
    """A hash of all files of a folder and of this one."""
    files = sorted({*folder.glob("*.py"), *Path(__file__).parent.glob("*.py")})
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


class SharedCache(FunctionCache):  # type: ignore[misc]
    """A function's code on disk. Whatever is wrong there is no reason to fail: the code can be made again."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = CodeFiles(
            self._cache_path, self._impl.filename_base, sources(Path(function.__code__.co_filename).parent)
        )

    def load_overload(self, signature: Any, target: Any) -> Any:
        try:
            found = super().load_overload(signature, target)
        except DAMAGED as error:
            say_once(f"compiled code that was kept is damaged ({error})")
            found = None
        if found is None:
            say_once("compiling fast code: once for this machine, some ten seconds")
        return found

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            super().save_overload(signature, data)
        except OSError as error:
            say_once(f"compiled code cannot be kept ({error}); NUMBA_CACHE_DIR names another place")


class CodeFiles(IndexDataCacheFile):  # type: ignore[misc]
    """numba's files, with a checksum, and names that two processes give only to the same code: numba numbers them."""

    def save(self, key: Any, data: Any) -> None:
        try:
            overloads = self._load_index()
        except DAMAGED:
            overloads = {}
        name = self._data_name(int(hashlib.sha256(repr(key).encode()).hexdigest()[:12], 16))
        self._save_data(name, data)
        self._save_index(overloads | {key: name})

    def _dump(self, content: Any) -> bytes:
        data = bytes(super()._dump(content))
        return data + hashlib.sha256(data).digest()

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        data, checksum = content[:-32], content[-32:]
        if hashlib.sha256(data).digest() != checksum:
            raise ValueError(f"{name}: is not what was written")
        return pickle.loads(data)
