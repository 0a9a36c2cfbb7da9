"""The Debian Administrator's Handbook as plain text, out of Debian's package: what quality.py scores.

    python benchmarks/fetch_handbook.py debian-handbook.txt

Needs apt-get and dpkg-deb.  100,000 characters of the English paragraphs, from the 20,000th on.
"""

import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

FIRST, LAST = 20_000, 120_000


class Paragraphs(HTMLParser):
    """Texts of <div class="para">, whatever is nested in them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth, self._parts = 0, list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "div" and (self._depth or ("class", "para") in attrs):
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._depth:
            self._depth -= 1
            if not self._depth:
                self.found.append(" ".join("".join(self._parts).split()))
                self._parts = []

    def handle_data(self, data: str) -> None:
        if self._depth:
            self._parts.append(data)


def main(output: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "debian-handbook"], cwd=folder, check=True)
        package = next(Path(folder).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        parser = Paragraphs()
        for page in sorted(Path(folder).rglob("en-US/**/*.html")):
            parser.feed(page.read_text(encoding="utf-8", errors="replace"))
    output.write_text("\n\n".join(parser.found)[FIRST:LAST])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
