"""How much memory this process holds, without the pages of mapped files, and giving back what nothing uses any more."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path


def anonymous_memory() -> int:
    """Anonymous resident memory in bytes. Where the system does not tell it apart, the peak resident memory."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


_SECONDS = 0.1
"""Giving back takes about a millisecond, and pages that are needed again have to come again."""
_given_back = 0.0


def give_back() -> None:
    """Let the system have what is free, if the last time is a while ago; nothing where malloc is not glibc's.

    glibc keeps what is freed. Where small blocks that stay (stored states) are put into large ones that were freed (a window's
    outputs), the large ones find no place there when they come again, and resident memory grows by one at every window, although
    nothing holds it.
    """
    global _given_back
    now = time.monotonic()
    if now - _given_back < _SECONDS:
        return
    _given_back = now
    import ctypes  # here, since it takes a while and few need it

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
