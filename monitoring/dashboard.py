"""Writes dashboard.json beside it: `python monitoring/dashboard.py`. Import that into Grafana.

The ratios come from rules.yml, which Prometheus must have loaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

HERE: Final = 'job="tierd", instance=~"$instance"'
WIDTH: Final = 24
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

Panel = dict[str, Any]


def of(metric: str, more: str = "") -> str:
    """Return a selector for the chosen instances."""
    return f"{metric}{{{', '.join(filter(None, (HERE, more)))}}}"


def rate(metric: str, by: str = "", more: str = "") -> str:
    """Return a rate, summed."""
    labels = ", ".join(filter(None, ("instance", by)))
    return f"sum by ({labels}) (rate({of(metric, more)}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "") -> str:
    """Return a quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', ', '.join(filter(None, ('le', by))))})"


def stat(title: str, text: str, unit: str, expression: str, *, bad_above: float | None = None) -> Panel:
    """Return one figure; red above a threshold."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if bad_above is not None:
        steps.append({"color": "red", "value": bad_above})
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}
    return panel("stat", title, text, {"{{instance}}": expression}, defaults, width=4, height=4)


def graph(title: str, text: str, unit: str, **expressions: str) -> Panel:
    """Return curves over time; each is named by its legend, in which __ stands for braces around a label."""
    legends = {name.replace("__", "{{", 1).replace("__", "}}", 1): each for name, each in expressions.items()}
    return panel("timeseries", title, text, legends, {"unit": unit, "min": 0}, width=8, height=8)


def panel(kind: str, title: str, text: str, legends: dict[str, str], defaults: dict[str, Any], **size: int) -> Panel:
    """Return a panel, its place left open."""
    targets = [
        {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
        for number, (legend, expression) in enumerate(legends.items())
    ]
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": targets,
        "gridPos": {"w": size["width"], "h": size["height"]},
    }


SAFE: Final = [
    stat("Unprotected", "Bytes without a proven remote copy.", "bytes", of("tierd_unprotected_bytes")),
    stat("Unprotected for", "Age of the oldest of them.", "s", of("tierd_oldest_unprotected_seconds"), bad_above=3600),
    stat("Stuck", "Wait for a person.", "short", of("tierd_assets", 'state="stuck"'), bad_above=1),
    stat("Damaged", "Cold, and wrong in the store.", "short", of("tierd_assets", 'state="damaged"'), bad_above=1),
    stat("Brake", "1: destructive work is frozen.", "short", of("tierd_brake_engaged"), bad_above=1),
    stat("Store doubted", "1: too much seems missing.", "short", of("tierd_store_doubted"), bad_above=1),
]
USE: Final = [
    graph(
        "Hit ratio",
        "Hits among requests to the API.",
        "percentunit",
        five_minutes=of("tierd:hit_ratio:rate5m"),
        hour=of("tierd:hit_ratio:rate1h"),
        day=of("tierd:hit_ratio:rate1d"),
    ),
    graph("Requests", "For an asset's bytes.", "reqps", __result__=rate("tierd_requests_total", "result")),
    graph("Bytes served", "Or opened on disk.", "Bps", __result__=rate("tierd_request_bytes_total", "result")),
]
TIERS: Final = [
    graph(
        "Hot tier",
        "What is used, and what may be.",
        "bytes",
        used=of("tierd_disk_used_bytes"),
        limit=of("tierd_disk_limit_bytes"),
    ),
    graph("Free", "Of the cache root's file system.", "bytes", free=of("tierd_disk_free_bytes")),
    graph(
        "Demoted after",
        "How long nobody had asked; an hour is too short.",
        "s",
        half=of("tierd:demotion_idle_seconds:median_1h"),
    ),
    graph("Assets", "By state.", "short", __state__=of("tierd_assets")),
    graph("Bytes", "By state.", "bytes", __state__=of("tierd_bytes")),
    graph("Hits in bytes", "Of an hour.", "percentunit", hour=of("tierd:hit_bytes_ratio:rate1h")),
]
MOVES: Final = [
    graph("Uploads", "By how they ended.", "ops", __result__=rate("tierd_uploads_total", "result")),
    graph("Upload rate", "To the store.", "Bps", bytes=rate("tierd_upload_bytes_total")),
    graph(
        "Upload time",
        "Half of them, and the slowest in twenty.",
        "s",
        half=quantile(0.5, "tierd_upload_duration_seconds"),
        p95=quantile(0.95, "tierd_upload_duration_seconds"),
    ),
    graph("Promotions", "By how they ended.", "ops", __result__=rate("tierd_promotions_total", "result")),
    graph("Promotion time", "The slowest in twenty.", "s", p95=quantile(0.95, "tierd_promotion_duration_seconds")),
    graph("Demotions", "By why.", "ops", __reason__=rate("tierd_demotions_total", "reason")),
]
STORE: Final = [
    graph("Store requests", "By operation.", "reqps", __operation__=rate("tierd_store_requests_total", "operation")),
    graph(
        "Store errors",
        "By how they ended; precondition is none.",
        "reqps",
        __result__=rate("tierd_store_requests_total", "result", 'result!~"ok|not-found|precondition"'),
    ),
    graph(
        "Store time",
        "The slowest in a hundred.",
        "s",
        __operation__=quantile(0.99, "tierd_store_request_duration_seconds", "operation"),
    ),
]
TRUTH: Final = [
    graph("Scrubber", "What it found.", "ops", __result__=rate("tierd_scrub_checks_total", "result")),
    graph("Scrubber behind", "A week is right.", "s", oldest=of("tierd_scrub_oldest_seconds")),
    graph(
        "Watcher",
        "What it lost, and what scans found in its place.",
        "ops",
        overflows=rate("tierd_watch_overflows_total"),
        found=rate("tierd_reconcile_found_total"),
    ),
    graph("Last scan", "Seconds ago.", "s", ago=f"time() - {of('tierd_scan_timestamp_seconds')}"),
    graph("Memory", "Of the process.", "bytes", resident=of("process_resident_memory_bytes")),
    graph("Processor", "Cores in use.", "short", cores=rate("process_cpu_seconds_total")),
]
ROWS: Final = {
    "Is my data safe?": SAFE,
    "Use": USE,
    "Tiers": TIERS,
    "On the move": MOVES,
    "Store": STORE,
    "Truth": TRUTH,
}


def dashboard() -> dict[str, Any]:
    """Return the whole."""
    panels: list[Panel] = []
    top = 0
    for title, members in ROWS.items():
        panels.append({"type": "row", "title": title, "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}, "panels": []})
        top += 1
        left = 0
        for each in members:
            size = each["gridPos"]
            if left + size["w"] > WIDTH:
                left, top = 0, top + size["h"]
            panels.append(each | {"gridPos": {"x": left, "y": top, **size}})
            left += size["w"]
        top += members[-1]["gridPos"]["h"]
    for number, each in enumerate(panels, 1):
        each["id"] = number
    return {
        "uid": "tierd-host",
        "title": "tierd",
        "tags": ["tierd"],
        "schemaVersion": 41,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
                {
                    "name": "instance",
                    "type": "query",
                    "label": "Host",
                    "datasource": SOURCE,
                    "query": 'label_values(tierd_build_info{job="tierd"}, instance)',
                    "refresh": 2,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                },
            ]
        },
        "panels": panels,
    }


def text() -> str:
    """Return the file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "dashboard.json").write_text(text(), encoding="utf-8")
