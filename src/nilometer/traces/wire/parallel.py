"""Files read by several processes at once, their batches handed on in the order of the files."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from .report import ReadReport

__all__ = ["ReadPart", "is_worth_sharing", "read_in_parallel"]

_LEAST_BYTES = 64 * 1024 * 1024
"""Below this the start of a process costs more than it saves."""
_MOST_BYTES = 1024 * 1024 * 1024
"""A larger file is read where its batches need not be held all at once."""


class ReadPart(NamedTuple):
    """What one process read of one file."""

    batches: bytes
    """An Arrow IPC stream."""
    report: ReadReport

    def tables(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches."""
        with pa.ipc.open_stream(pa.py_buffer(self.batches)) as reader:
            yield from reader


Read = Callable[[Path], ReadPart]


def is_worth_sharing(paths: Sequence[Path]) -> bool:
    """Tell whether several files are large enough together, and each small enough, for processes of their own."""
    if len(paths) < 2 or not all(path.is_file() for path in paths):
        return False
    sizes = [path.stat().st_size for path in paths]
    return sum(sizes) >= _LEAST_BYTES and max(sizes) <= _MOST_BYTES


def read_in_parallel(read: Read, paths: Sequence[Path], n_processes: int) -> Iterator[ReadPart]:
    """Yield what `read` gives for each path, in their order, a few files ahead of the one that is handed on."""
    waiting: deque[Future[ReadPart]] = deque()
    pool = ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"))
    try:
        for path in paths:
            waiting.append(pool.submit(read, path))
            if len(waiting) > n_processes + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
