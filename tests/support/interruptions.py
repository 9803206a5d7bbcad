"""Death of a process at any of its operations on files, without a process.

From that operation on nothing reaches the disk, also not what cleans up: a dead process
does not. Of a text or of bytes that are just being written a part may have.
"""

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

OPERATIONS = ("fsync", "link", "mkdir", "rename", "replace", "rmdir", "unlink")
WRITES = ("write_bytes", "write_text")


class Killed(BaseException):
    """What the code that is tested cannot handle, as it could no signal."""


class Death:
    """Counts operations, and lets none happen from the one it comes at."""

    def __init__(self, at, share=0.5):
        self.at, self.share, self.count = at, share, 0
        self._thread = threading.get_ident()

    def come(self):
        if threading.get_ident() != self._thread:
            return False
        self.count += 1
        return self.count > self.at

    def before(self, operation):
        def stopped(*arguments, **options):
            if self.come():
                raise Killed
            return operation(*arguments, **options)

        return stopped

    def within(self, write):
        def stopped(path, data, *arguments, **options):
            if self.come():
                if self.count == self.at + 1:
                    write(path, data[: int(self.share * len(data))])
                raise Killed
            return write(path, data, *arguments, **options)

        return stopped


@contextmanager
def dying(at, share=0.5):
    """Die at the operation of this number; yields what counts them."""
    death = Death(at, share)
    with (
        mock.patch.multiple(
            os, **{name: death.before(getattr(os, name)) for name in OPERATIONS}
        ),
        mock.patch.multiple(
            Path, **{name: death.within(getattr(Path, name)) for name in WRITES}
        ),
    ):
        yield death


def flip(path, draw):
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[draw(len(data))] ^= 1 + draw(255)
    path.write_bytes(data)
