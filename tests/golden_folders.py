"""Where the golden encoders are, and copies of them to break."""

import shutil
from pathlib import Path

ENCODERS = Path(__file__).parent / "golden" / "encoders"


def copied(case: str, folder: Path) -> Path:
    shutil.copytree(ENCODERS / case, folder)
    return folder
