"""How much memory this process holds, without the pages of mapped files."""

from __future__ import annotations

import resource
import sys
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
