"""What operators load into Prometheus and Grafana: it names what there is, fires when it should, and counts right."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
from fake_tiers import status
from pages import PROJECT, sections

from daemon.metrics import Metrics
from demo.child import free_ports
from tiering.answers import Disk, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from buckets import Bucket
    from daemon_process import Daemon, Launch

pytest_plugins = ["promtool"]

MONITORING = PROJECT / "monitoring"
ALERTS = (MONITORING / "alerts.yml").read_text(encoding="utf-8")
RULES = (MONITORING / "rules.yml").read_text(encoding="utf-8")
NAMES = re.findall(r"- alert: (\w+)", ALERTS)
PATIENCE_SECONDS = 60


def expressions() -> dict[str, str]:
    """Return the expressions of the dashboard by the titles of their panels, as Grafana would fill them in."""
    panels = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return {
        f"{each['title']}, {target['legendFormat']}": target["expr"]
        .replace("$instance", ".*")
        .replace("$__rate_interval", "30s")
        for each in panels
        for target in each.get("targets", ())
    }


def series() -> dict[str, dict[str, set[str]]]:
    """Return every series that is scraped or recorded, with the values of its labels."""
    metrics = Metrics(version="1")
    disk = Disk(total=0, free=0, used=0, limit=0, high=0.9, low=0.8)
    metrics.watch(lambda: status(assets={}, bytes={}, queue=Queue(), disk=disk))
    found: dict[str, dict[str, set[str]]] = {name: {} for name in re.findall(r"record: (\S+)", RULES)} | {"up": {}}
    for name, labels in re.findall(r"^(\w+)(?:{(.*)})? ", metrics.render().decode(), flags=re.MULTILINE):
        values = found.setdefault(name, {})
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            values.setdefault(label, set()).add(value)
    return found


def selectors(text: str) -> Iterator[tuple[str, str]]:
    """Yield the series that an expression names, with what it wants of their labels."""
    yield from re.findall(r"\b(tierd[_:][\w:]+|process_\w+|up)\b(?:{([^}]*)})?", text)


@pytest.mark.parametrize("text", [ALERTS, RULES, "\n".join(expressions().values())], ids=["alerts", "rules", "panels"])
def test_what_is_named_exists(text: str) -> None:
    """Every series, and every value of its labels: an alert on a word that is never said never fires."""
    known = series()
    code = re.sub(r"^.*(record:|alert:|name:|summary:|description:|runbook:).*$|#.*$", "", text, flags=re.MULTILINE)
    named = list(selectors(code))
    assert named
    for name, wanted in named:
        assert name in known, name
        for label, values in re.findall(r'(\w+)[=!]~?"([^"]*)"', wanted):
            if label not in {"job", "instance"}:
                assert set(values.split("|")) <= known[name][label], (name, label)


def test_every_alert_is_tried_and_explained() -> None:
    """It has a test in which it fires, one in which it is silent, and an entry of the runbook, in the same order."""
    tests = re.findall(r"- name: (.+)", (MONITORING / "tests.yml").read_text(encoding="utf-8"))
    assert tests == [f"{name} {ends}" for name in NAMES for ends in ("fires", "is silent")]
    assert [heading for heading in sections("docs/runbook.md") if heading.startswith("Tierd")] == NAMES
    assert re.findall(r"runbook: docs/runbook.md#(\w+)", ALERTS) == [name.lower() for name in NAMES]


def test_alerts_fire_where_they_should(promtool: Path, tmp_path: Path) -> None:
    """As promtool sees it; and every panel asks something that Prometheus understands."""
    panels = tmp_path / "panels.yml"
    rules = [{"record": f"panel_{number}", "expr": each} for number, each in enumerate(expressions().values())]
    panels.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert len({each["expr"] for each in rules}) == len(rules)
    ask(promtool, "check", "rules", MONITORING / "rules.yml", MONITORING / "alerts.yml", panels)
    ask(promtool, "test", "rules", "tests.yml")


def ask(promtool: Path, *words: str | Path) -> None:
    """Run promtool, which must have nothing against it."""
    done = subprocess.run(
        [promtool, *words], cwd=MONITORING, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_what_its_script_writes() -> None:
    """Run monitoring/dashboard.py after a change of it."""
    assert (MONITORING / "dashboard.json").read_text(encoding="utf-8") == script("dashboard").text()


def script(name: str) -> Any:
    """Return a script of monitoring/ as a module."""
    spec = importlib.util.spec_from_file_location(f"monitoring_{name}", MONITORING / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # Where dataclasses look for it.
    spec.loader.exec_module(module)
    return module


class Recorded(BaseHTTPRequestHandler):
    """A Prometheus of which the answers are known: one series for all, and none for what has a state."""

    def do_GET(self) -> None:
        """Answer a range."""
        asked = parse_qs(urlsplit(self.path).query)
        begin = float(asked["start"][0])
        values = [[begin, "0.5"], [begin + 1, "NaN"], [begin + 2, "4096"]]
        series = [] if "state=" in asked["query"][0] else [{"metric": {"result": "<hit>"}, "values": values}]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": {"result": series}}).encode())

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        """Say nothing."""


def test_the_dashboard_is_drawn_without_grafana() -> None:
    """Every panel in its place, every series by its name; what has no answer says so."""
    draw = script("picture")
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorded) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            picture = draw.picture(f"http://127.0.0.1:{server.server_port}", draw.Span(1000.0, 1010.0))
        finally:
            server.shutdown()
            thread.join()
    texts = [each.text for each in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    panels = [name.rpartition(", ")[0] for name in expressions()]
    assert set(panels) < set(texts)
    assert "<hit>" in texts
    assert texts.count("no data") == 2  # Stuck and damaged.
    assert "nan" not in picture


class Prometheus:
    """A server that scrapes one daemon every half second."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **parameters: str) -> Any:
        """Return what it answers; None while it does not."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
                return json.load(answer)["data"]
        except OSError:  # It is not up yet, or not ready.
            return None

    def values(self, expression: str) -> dict[str, float]:
        """Return the values of an expression now, by the label that tells them apart."""
        data = self.get("query", query=expression) or {"result": []}
        return {
            "|".join(
                value for label, value in each["metric"].items() if label not in {"__name__", "job", "instance"}
            ): (float(each["value"][1]))
            for each in data["result"]
        }


@contextmanager
def scraping(program: Path, daemon: Daemon) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes the daemon, with our rules."""
    (port,) = free_ports(1)
    directory = daemon.directory / "prometheus"
    directory.mkdir()
    (directory / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n"
        f"rule_files: ['{MONITORING}/rules.yml', '{MONITORING}/alerts.yml']\n"
        f"scrape_configs: [{{job_name: tierd, static_configs: [{{targets: ['{daemon.metrics_address}']}}]}}]\n"
    )
    command = [str(program), f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stderr=log, stdout=log)
    try:
        yield Prometheus(port)
    finally:
        process.kill()
        process.wait()


def wait(what: str, is_so: Any) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_real_prometheus_counts_what_we_count(bucket: Bucket, launch: Launch, prometheus: Path) -> None:
    """Scraped while assets are uploaded, demoted and read: every figure is that of the hand; every panel has data."""
    daemon = launch(bucket)
    files = {f"{number}.bin": bytes([number]) * 1000 for number in range(12)}
    with scraping(prometheus, daemon) as server:
        wait("the first scrape", lambda: server.values("up") == {"": 1.0})
        daemon.drop(files)
        daemon.wait_replicated(12)
        assert daemon.command("--yes", "demote", "0.bin", "1.bin", "2.bin").returncode == 0
        for path, content in files.items():
            assert daemon.read(path) == content
        # 3 had to be fetched, 9 were there; and 3 more that are there by now.
        for path in ("0.bin", "1.bin", "2.bin"):
            daemon.read(path)
        counted = {"hit": 12.0, "miss": 3.0, "error": 0.0}
        wait("the count of requests", lambda: server.values("tierd_requests_total") == counted)
        assert server.values("tierd_request_bytes_total") == {"hit": 12_000.0, "miss": 3000.0, "error": 0.0}
        assert server.values("tierd_uploads_total")["sent"] == 12
        assert server.values("tierd_upload_bytes_total") == {"": 12_000.0}
        assert server.values("tierd_upload_duration_seconds_count") == {"": 12.0}
        assert server.values("tierd_demotions_total")["request"] == 3
        assert server.values("tierd_demotion_idle_seconds_count") == {"": 3.0}
        assert server.values("tierd_promotions_total")["restored"] == 3
        assert server.values("tierd_assets")["replicated"] == 12
        assert server.values('tierd_store_requests_total{operation="put", result="ok"}')["put|ok"] >= 12
        wait("the ratio", lambda: server.values("tierd:hit_ratio:rate5m") == {"": 0.8})
        wait("every panel", lambda: not [name for name, each in expressions().items() if not server.values(each)])
        rules = [rule for group in server.get("rules")["groups"] for rule in group["rules"]]
        assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
        assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []
