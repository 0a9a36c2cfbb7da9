"""What was learned of this device in earlier runs, in a JSON file; a broken file is an empty one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Notebook:
    """Documents by key.  A folder that cannot be written costs a later run its knowledge, nothing else."""

    def __init__(self, path: Path):
        self._path = path

    def read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, key: str, document: Any) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = self._path.with_suffix(".part")
            partial.write_text(json.dumps(self.read() | {key: document}, indent=1), "utf-8")
            partial.replace(self._path)
        except OSError:
            pass
