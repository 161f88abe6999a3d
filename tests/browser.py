"""The page in a real browser: `make browser` looks at it in Chromium, and takes the pictures of the documentation.

A script, not a test: Chromium and what drives it are large, and it takes some seconds to say anything.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image
from playwright.sync_api import sync_playwright
from stub import Answer, Stub

from daemon.bridge import Bridge
from daemon.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

PICTURES: Final = Path(__file__).parent.parent / "docs" / "images"
COLOURS: Final = 128
LARGEST: Final = 100_000
"""Bytes of a picture."""
GIB: Final = 1024**3
HOSTILE: Final = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>\u202egpj.exe\x1b[2J"
STATES: Final = (
    "new", "uploading", "verifying", "replicated", "demoting", "cold", "promoting", "stuck", "damaged", "gone",
)  # fmt: skip


def glance() -> dict[str, Any]:
    """Return how a busy host stands."""
    assets = dict.fromkeys(STATES, 0) | {"new": 41, "uploading": 3, "replicated": 18_204, "cold": 96_310, "stuck": 1}
    sizes = dict.fromkeys(STATES, 0) | {
        "new": 9 * GIB, "uploading": 6 * GIB, "replicated": 104 * GIB, "cold": 2_310 * GIB, "stuck": GIB // 50,
    }  # fmt: skip
    return {
        "health": {
            "status": "degraded",
            "reasons": ["stuck, and without a remote copy: 1; tierd list --state stuck names them"],
            "root": "/srv/media",
            "version": "0.1.0",
        },
        "status": {
            "assets": assets,
            "bytes": sizes,
            "queue": {
                "waiting": 41, "uploading": 3, "promoting": 1,
                "oldest_unprotected_seconds": 380.0, "unprotected_bytes": 15 * GIB,
            },
            "rates": {
                "upload_bytes_per_second": 88 * 1024**2, "hit_ratio": 0.93,
                "hit_ratios": {"5m": 0.962, "1h": 0.941, "24h": 0.927},
            },
            "disk": {
                "total": 512 * GIB, "free": 371 * GIB, "used": 119 * GIB, "limit": 140 * GIB,
                "high": 0.9, "low": 0.8, "full": False,
            },
            "store": {"url": "s3://studio-media/host-a", "reachable": True, "reason": "", "capabilities": {}},
            "brake": {"engaged": False, "reason": "", "since": None, "missing": 0},
            "scrub": {"oldest_seconds": 86_400.0, "suspects": 0, "doubt": "", "read_back_at": None, "hashed_at": None},
        },
        "transfers": [
            transfer("campaign/autumn/master/A001_C014_1120.mov", "upload", 9 * GIB, 0.62, 71 * 1024**2),
            transfer("campaign/autumn/master/A001_C015_1120.mov", "upload", 4 * GIB, 0.05, 17 * 1024**2),
            transfer("archive/2024/spring/hero_v12.psd", "promotion", GIB, 0.81, 142 * 1024**2),
            transfer("campaign/autumn/stills/0007.cr3", "upload", 61 * 1024**2, 0.0, None),
        ],
        "read": [wanted("brand/logo/primary.svg", 4_211), wanted("web/hero/autumn-1600.webp", 3_980),
                 wanted("web/hero/autumn-800.webp", 1_702)],
        "missed": [wanted("archive/2024/spring/hero_v12.psd", 6), wanted("archive/2023/lookbook.pdf", 2)],
        "trouble": [
            {
                "at": None, "path": "campaign/autumn/stills/0003.cr3", "href": "x", "times": 1,
                "what": "it is stuck: somebody else's object is at its key",
                "remedy": "rename the file, or let it replace the object: tierd retry --overwrite",
            },
            {
                "at": 1_795_280_000.0, "path": None, "href": None, "times": 3,
                "what": "upload deferred: web/hero/autumn-1600.webp (the store does not answer)",
                "remedy": "tierd doctor, if it stays so",
            },
        ],
    }  # fmt: skip


def transfer(path: str, direction: str, size: int, part: float, rate: float | None) -> dict[str, Any]:
    """Return one asset on its way."""
    left = None if rate is None else size * (1 - part) / rate
    return {
        "path": path, "href": path, "direction": direction, "size": size, "done": int(size * part),
        "bytes_per_second": rate, "seconds_left": left,
    }  # fmt: skip


def wanted(path: str, times: int) -> dict[str, Any]:
    """Return how often an asset was asked for."""
    return {"path": path, "href": path, "times": times}


@contextmanager
def shown() -> Iterator[tuple[Stub, Bridge]]:
    """Serve the page for a daemon of which this is so."""
    with tempfile.TemporaryDirectory() as name, Stub(Path(name) / "s") as stub:
        stub.answers["GET /v1/glance"] = Answer(glance())
        with Bridge(Client(stub.socket_path), 0) as bridge:
            thread = threading.Thread(target=bridge.serve_forever)
            thread.start()
            try:
                yield stub, bridge
            finally:
                bridge.shutdown()
                thread.join()


@contextmanager
def opened(browser: Browser, bridge: Bridge, width: int, scheme: Any) -> Iterator[Page]:
    """Open the page, which must load nothing else and complain of nothing."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
    here = f"http://127.0.0.1:{bridge.server_port}/"
    page.on("request", lambda request: request.url.startswith((here, "data:")) or complaints.append(request.url))
    page.goto(bridge.url)
    page.locator("#trouble li").nth(1).wait_for()
    yield page
    context.close()
    unforeseen = [each for each in complaints if "502" not in each]  # That one is made: see_it_go_and_come.
    check(not unforeseen, f"complaints: {unforeseen}")


def check(holds: object, what: str) -> None:
    """End where something does not hold."""
    if not holds:
        sys.exit(f"browser: {what}")


def look(browser: Browser, name: str, width: int, scheme: str) -> None:
    """See that it fits, that nothing in it acts, and that its address is good once; take its picture."""
    with shown() as (stub, bridge):
        with opened(browser, bridge, width, scheme) as page:
            check(page.evaluate("document.documentElement.scrollWidth") <= width, f"{name}: wider than {width} px")
            check("#" not in page.url, f"{name}: the token stays in the address: {page.url}")
            take(page, PICTURES / f"{name}.png")
            see_a_hostile_name(page, stub)
            page.reload()
            page.locator("#trouble li").nth(1).wait_for()
            see_it_go_and_come(page, stub)
        context = browser.new_context()
        second = context.new_page()
        second.goto(bridge.url)
        second.wait_for_selector("#stale:not([hidden])")
        check("was used before" in second.locator("#stale").inner_text(), f"{name}: the token was good twice")
        check("Asking" in second.locator("#verdict").inner_text(), f"{name}: shown without a key")
        context.close()


def see_a_hostile_name(page: Page, stub: Stub) -> None:
    """It is shown wherever names are, and does nothing; what would turn the text around is escaped."""
    hostile = glance()
    for each in (*hostile["transfers"], *hostile["read"], *hostile["missed"], hostile["trouble"][0]):
        each["path"] = HOSTILE
    stub.answers["GET /v1/glance"] = Answer(hostile)
    names = page.locator(".path", has_text="<img")
    names.nth(9).wait_for()
    texts = names.all_inner_texts()
    check(sum("\\u{202e}gpj.exe\\u{1b}[2J" in text for text in texts) == 10, f"a name is not escaped: {texts}")
    check(page.locator("img, iframe, script:not(body > script)").count() == 0, "a name became markup")
    check(page.title() == "(!) tierd", f"a name acted: the title is {page.title()}")
    check(page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a long name makes the page wider")


def see_it_go_and_come(page: Page, stub: Stub) -> None:
    """What is old is not shown as if it were new."""
    there = stub.answers.pop("GET /v1/glance")
    page.wait_for_selector("#stale:not([hidden])")
    stub.answers["GET /v1/glance"] = there
    page.wait_for_selector("#stale", state="hidden")


def take(page: Page, path: Path) -> None:
    """Take a picture of all of it, which must be small."""
    path.parent.mkdir(exist_ok=True)
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        picture.quantize(COLOURS).save(path, optimize=True)
    check(path.stat().st_size < LARGEST, f"{path.name} has {path.stat().st_size} bytes")


def main() -> None:
    """Look at it in three ways."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    check(chromium, "needs Chromium; on Debian and Ubuntu: apt-get install chromium")
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, as whom CI runs.
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        for name, width, scheme in (
            ("page-light", 960, "light"),
            ("page-dark", 960, "dark"),
            ("page-360", 360, "light"),
        ):
            look(browser, name, width, scheme)
        browser.close()
    sys.stdout.write(f"the page is right; its pictures are in {PICTURES}\n")


if __name__ == "__main__":
    main()
