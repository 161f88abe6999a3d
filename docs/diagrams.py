"""Draws the diagrams of all pages as pictures, light and dark, for the site: `make diagrams`, after a change of one.

GitHub draws them itself. The site loads nothing from anywhere, so they are drawn before: by Mermaid, in Chromium. A
picture is named after the text that it is drawn from, so that one of an older text is never shown.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

PROJECT: Final = Path(__file__).parent.parent
PICTURES: Final = PROJECT / "docs" / "images"
SCHEMES: Final = {"light": "default", "dark": "dark"}
"""Mermaid's theme for each."""
PACKAGE: Final = "mermaid@12.3.0"
SHA256: Final = "be0684e8d20bfc874df12c0f04927a5c482f57f2200eec54cca52a4583fd4040"
DRAW: Final = """async ([theme, text]) => {
    mermaid.initialize({
        startOnLoad: false, theme, htmlLabels: false, flowchart: {htmlLabels: false}, fontFamily: "sans-serif",
        deterministicIds: true, securityLevel: "strict",
    });
    return (await mermaid.render("diagram", text)).svg;
}"""


def diagrams() -> Iterator[str]:
    """Yield the text of every diagram."""
    for page in sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]):
        yield from re.findall(r"^```mermaid\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def picture(text: str, scheme: str) -> Path:
    """Return where the picture of a diagram is."""
    name = hashlib.sha256(text.strip().encode()).hexdigest()[:12]
    return PICTURES / f"diagram-{name}-{scheme}.svg"


def fetched() -> str:
    """Return Mermaid, from npm unless it is there."""
    directory = PROJECT / "build" / "diagrams"
    directory.mkdir(parents=True, exist_ok=True)
    archive = directory / f"{PACKAGE.replace('@', '-')}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=directory, check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607 - npm is where the PATH says
    content = archive.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"{archive} is not {PACKAGE}: remove it")
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        script = files.extractfile("package/dist/mermaid.min.js")
        if script is None:
            raise SystemExit(f"{archive} has no Mermaid")
        return script.read().decode()


def draw(page: Page, text: str, scheme: str) -> str:
    """Return the picture of a diagram, as large as it is drawn."""
    svg: str = page.evaluate(DRAW, [SCHEMES[scheme], text])
    box = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', svg)
    if box is None:
        raise SystemExit("Mermaid drew nothing")
    svg = svg.replace('width="100%"', f'width="{float(box[1]):.0f}" height="{float(box[2]):.0f}"', 1)
    return re.sub(r"(\d+\.\d)\d+", r"\1", svg) + "\n"  # A tenth of a pixel is enough.


def main() -> None:
    """Draw all of them, and remove those of texts that are gone."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only who draws needs it

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("diagrams: needs Chromium; on Debian and Ubuntu: apt-get install chromium")
    wanted = {picture(text, scheme): (text, scheme) for text in diagrams() for scheme in SCHEMES}
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, as whom CI runs.
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        page = browser.new_page()
        page.add_script_tag(content=fetched())
        for path, (text, scheme) in wanted.items():
            path.write_text(draw(page, text, scheme), encoding="utf-8")
        browser.close()
    for path in set(PICTURES.glob("diagram-*")) - set(wanted):
        path.unlink()


if __name__ == "__main__":
    main()
