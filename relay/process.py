"""Settings of the process: memory allocator and garbage collector."""

import ctypes
import gc

MMAP_THRESHOLD_BYTES = 512 * 1024  # glibc maps larger buffers alone and unmaps them when freed
_M_MMAP_THRESHOLD = -3


def fix_mmap_threshold() -> None:
    """Stop glibc from raising its mmap threshold.

    By default each freed large buffer raises it, up to 32 MiB; after that the memory of a few
    16 MiB bodies never returns to the system (mallopt(3)). Other C libraries have no ``mallopt``.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)


def freeze_loaded_objects() -> None:
    """Exclude all objects that exist now from garbage collection.

    Otherwise each full collection walks all modules and templates and blocks the event loop for
    some 20 ms.
    """
    gc.collect()
    gc.freeze()
