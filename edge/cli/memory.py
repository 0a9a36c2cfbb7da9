"""What memory this process took at most."""

import sys
from pathlib import Path


def peak_rss(status: Path = Path("/proc/self/status")) -> int | None:
    """Bytes resident at the peak, mapped file pages included; None where the system does not say."""
    try:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return _from_rusage()


def _from_rusage() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
