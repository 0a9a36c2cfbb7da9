"""Sizes, counts and times as people read them."""


def size(nbytes: float) -> str:
    """98561408 -> "98.6 MB"."""
    return _scaled(nbytes, ("B", "kB", "MB", "GB", "TB"))


def count(n: float) -> str:
    """134515008 -> "135 M"."""
    return _scaled(n, ("", "k", "M", "G", "T")).rstrip()


def duration(seconds: float) -> str:
    """75 -> "1:15"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _scaled(value: float, units: tuple[str, ...]) -> str:
    steps = 0
    while abs(value) >= 999.5 and steps < len(units) - 1:
        value, steps = value / 1000, steps + 1
    digits = 0 if value >= 99.95 or value == int(value) else 1
    return f"{value:.{digits}f} {units[steps]}"
