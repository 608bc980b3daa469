"""The process as a whole: its allocator and its garbage collector."""

import ctypes
import gc

LARGE = 512 * 1024
"""Bytes from which a buffer is mapped on its own, and unmapped when it is freed."""
_M_MMAP_THRESHOLD = -3


def give_large_buffers_back() -> None:
    """Keep glibc's threshold for mapped buffers where it is.

    Else it rises, up to 32 MiB, with each large buffer that is freed, and from then on a few
    bodies of 16 MiB leave their memory with the process for good (mallopt(3)). A C library
    without ``mallopt`` is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)


def leave_what_is_loaded_alone() -> None:
    """Take what exists now out of the garbage collector's sight.

    Else each full collection walks all modules and templates, and every answer of that moment
    waits some 20 ms for it.
    """
    gc.collect()
    gc.freeze()
