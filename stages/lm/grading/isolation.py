"""What a process that runs foreign code gives up first, as far as the system allows it: files, network, processes, memory.

Namespaces (namespaces(7)) take away the network and the sight of other processes, and let all that was started end with the first
process; Landlock (landlock(7)) takes away files, without any privilege; resource limits (getrlimit(2)) bound memory, time and
the size of files.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
"""Of linux/sched.h."""
DIE_WITH_PARENT, ADOPT_ORPHANS, NO_NEW_PRIVILEGES = 1, 36, 38
"""Of linux/prctl.h."""
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls of Landlock, the same on every architecture that has been added since."""
EXECUTE, WRITE, READ, LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
RIGHTS = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 5: 1 << 16}
"""From each version of Landlock on, one more than the greatest right over files that it knows."""

SHARED_MEMORY = Path("/dev/shm")
"""Where processes that belong together meet."""
BOUNDED = "a bounded working folder"
UNSEEN = "processes of its own"
SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/proc", "/sys/devices/system", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd",
    "/dev/zero", "/dev/random", "/dev/urandom",
)  # fmt: skip
"""What Python and its libraries read."""

libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Bounds:
    """What one process may use."""

    memory_mb: int
    """Address space, in 2^20 bytes."""
    file_mb: int
    """The longest file, and all that lies in the working folder."""
    cpu_seconds: int
    processes: int
    """Processes and threads together."""


def end_with_parent() -> None:
    """Let the system end this process when the one that started it ends, however that ends."""
    libc.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Let this process become the parent of what its children leave behind, so that it stays in the family."""
    libc.prctl(ADOPT_ORPHANS, 1, 0, 0, 0)


def enter_namespaces(work: Path, bounds: Bounds) -> list[str]:
    """Go on alone, in a child that is the first process of its own world; the caller's process waits for it and ends as it does.

    To be called before there are other threads. Returns what is in force; nothing where the system refuses.
    """
    if not _may_unshare():
        return []
    _unshare()
    child = os.fork()
    if child:
        os.closerange(3, 256)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            os.kill(os.getpid(), os.WTERMSIG(status))
        os._exit(os.waitstatus_to_exitcode(status))
    end_with_parent()
    found = ["no network"]
    if libc.mount(b"proc", b"/proc", b"proc", 0, None) == 0:
        found.append(UNSEEN)
    size = f"size={bounds.file_mb}m".encode()
    if all(libc.mount(b"tmpfs", bytes(place), b"tmpfs", 0, size) == 0 for place in (work, SHARED_MEMORY)):
        found.append(BOUNDED)
    os.chdir(work)
    resource.setrlimit(resource.RLIMIT_NPROC, (bounds.processes, bounds.processes))  # counted in this namespace alone
    return found


def _may_unshare() -> bool:
    """Tried in a process that ends at once: some systems grant a user namespace and refuse its maps, and no way leads back."""
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            _unshare()
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _unshare() -> None:
    """Go on in namespaces of its own, as the same user. Raises OSError where the system refuses."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_USER | NEW_MOUNTS | NEW_IPC | NEW_PIDS | NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def limit_resources(bounds: Bounds) -> list[str]:
    """Bound address space, processor time and the size of files, for good."""
    limits = {
        resource.RLIMIT_AS: bounds.memory_mb << 20,
        resource.RLIMIT_FSIZE: bounds.file_mb << 20,
        resource.RLIMIT_CPU: bounds.cpu_seconds,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
    return ["bounds on memory, time and files"]


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def restrict_files(readable: Sequence[Path], writable: Sequence[Path]) -> list[str]:
    """Leave this process and its children the right to read what is at or below these paths, and to write below the others.

    Returns what is in force; nothing where the system has no Landlock.
    """
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        return []
    every = max(bits for since, bits in RIGHTS.items() if since <= version) - 1
    ruleset = _Ruleset(every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    descriptor = libc.syscall(CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    if descriptor < 0:
        return []
    for path, rights in [*((path, EXECUTE | READ | LIST) for path in readable), *((path, every) for path in writable)]:
        if not path.exists():
            continue
        allowed = rights if path.is_dir() else rights & (EXECUTE | WRITE | READ)
        rule = _Beneath(allowed, os.open(path, os.O_PATH | os.O_CLOEXEC))
        libc.syscall(ADD_RULE, descriptor, 1, ctypes.byref(rule), 0)
        os.close(rule.parent)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    in_force = libc.syscall(RESTRICT_SELF, descriptor, 0) == 0
    os.close(descriptor)
    return ["no files but its own"] if in_force else []
