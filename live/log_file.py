"""One log file for all processes of a name, bounded in size, and never in the way of an order.

Each line is one append, which the kernel keeps whole, so lines of several workers stand in the
order they were written. Whoever finds the file full renames it away under a lock that is never
waited for: while another does so, this line still goes to the old file. The others notice the new
file by its inode. What cannot be written is counted and forgotten.
"""

import fcntl
import itertools
import logging
import os
from pathlib import Path

LARGEST_BYTES = 20 * 1024 * 1024
KEPT_FILES = 5

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_OWNER_ONLY = 0o600


class _LostLines:
    """How many lines this process could not write."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.count = 0

    def add(self) -> None:
        self.count = next(self._numbers)


_LOST = _LostLines()


def lost_lines() -> int:
    """How many lines this process could not write anywhere they were meant for."""
    return _LOST.count


class CountingHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """A stream whose failures are counted and never told to the caller."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Count a line that could not be formatted or written."""
        _LOST.add()


class SharedFileHandler(logging.Handler):
    """Appends to `path`; when it is full, `path.1` to `path.<kept>` are the ones before."""

    def __init__(
        self, path: Path, largest_bytes: int = LARGEST_BYTES, kept: int = KEPT_FILES
    ) -> None:
        super().__init__()
        self._path = path
        self._largest_bytes = largest_bytes
        self._kept = kept
        self._file: int | None = None
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, or count it as lost."""
        try:
            self._write(f"{self.format(record)}\n".encode(errors="backslashreplace"))
        except Exception:
            _LOST.add()

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        self.acquire()
        try:
            self._leave()
        finally:
            self.release()
        super().close()

    def _write(self, line: bytes) -> None:
        file = self._current()
        if os.fstat(file).st_size + len(line) > self._largest_bytes:
            self._make_room()
            file = self._current()
        whole = b"\n" + line if self._torn else line
        self._torn = os.write(file, whole) < len(whole)
        if self._torn:
            _LOST.add()

    def _current(self) -> int:
        """The file that stands at the path now, made if there is none."""
        if self._file is not None and not _stands_at(self._file, self._path):
            self._leave()
        if self._file is None:
            self._file = os.open(self._path, _APPEND, _OWNER_ONLY)
        return self._file

    def _make_room(self) -> None:
        """Rename the files one number on, unless another process is at it or has done it."""
        guard = os.open(self._path.with_suffix(".lock"), _APPEND, _OWNER_ONLY)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._file is not None and _stands_at(self._file, self._path):
                for number in range(self._kept - 1, 0, -1):
                    if self._numbered(number).exists():
                        self._numbered(number).replace(self._numbered(number + 1))
                self._path.replace(self._numbered(1))
        except BlockingIOError:
            return
        finally:
            os.close(guard)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _leave(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _stands_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
