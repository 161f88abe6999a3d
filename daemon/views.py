"""Assets and all that is known about them as the JSON of the contract: plain dicts, shaped as daemon/models.py says."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from daemon.target import href_of
from daemon.trouble import REMEDIES
from index.asset import printable
from index.lifecycle import HOT, UNPROTECTED, State
from tiering.entity import asset_tag, content_sha256
from tiering.leases import LEASE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daemon.addresses import Addresses
    from daemon.gauges import Rates
    from daemon.metrics import Counts
    from daemon.trouble import Incident
    from index.asset import Asset, Proof, RelPath
    from index.figures import Figure
    from index.records import Record
    from tiering.answers import Explanation, Opened, Result, Status, Transfer
    from tiering.bill import Bill
    from tiering.leases import Lease
    from tiering.prices import Prices
    from tiering.retention import Going

Json = dict[str, Any]

_NANO = 1_000_000_000

ARCHIVED: Final = frozenset(State) - UNPROTECTED - {State.DAMAGED, State.GONE}
"""The states in which the store has what the asset is now."""


def asset_view(asset: Asset, addresses: Addresses, *, signs: bool = False) -> Json:
    """Return one asset. Its key is the whole one, with the store's prefix. `signs`: its URL is signed, if any is."""
    proof = asset.proof
    sha256 = content_sha256(asset)
    return {
        "id": asset.id,
        **_names(asset.path),
        **_place(proof, addresses, signs=signs),
        "state": asset.state,
        "size": asset.size,
        "mtime": _mtime(asset),
        "content_type": asset.content_type,
        "digest": None if sha256 is None else f"sha256:{sha256}",
        "etag": asset_tag(asset),
        "generation": asset.generation,
        "type": asset.type,
        "fields": dict(asset.all_fields),
        "tags": dict(asset.tags),
        "heat": asset.heat,
        "last_access": asset.last_access,
        "access_count": asset.access_count,
        "pinned": asset.pinned,
        "proof": proof_view(proof),
        "failure": None if asset.failure is None else asdict(asset.failure),
    }


def proof_view(proof: Proof | None) -> Json | None:
    """Return a proof, its times in seconds."""
    if proof is None:
        return None
    view = asdict(proof)
    view["mtime"] = view.pop("mtime_ns") / _NANO
    return view


def opened_view(opened: Opened, *, now: float) -> Json:
    """Return an open that is ready, or one that is not yet."""
    view: Json = {
        "path": printable(opened.location),
        "href": href_of(opened.location),
        "relative": printable(opened.asset.path),
        "state": opened.asset.state,
        "hit": opened.hit,
        "ready": opened.ready,
    }
    if opened.ready:
        view["size"] = opened.asset.size
        view["etag"] = asset_tag(opened.asset)
        view["lease"] = None if opened.lease is None else lease_view(opened.lease, now=now)
    else:
        view["expected"] = opened.expected
    return view


def lease_view(lease: Lease, *, now: float) -> Json:
    """Return a lease that was granted or renewed just now."""
    return {"id": lease.id, "expires": now + LEASE_SECONDS}


def result_view(result: Result) -> Json:
    """Return what came of a command for one path."""
    return {
        **_names(result.path),
        "outcome": result.outcome,
        "reason": result.reason,
        "state": result.state,
        "size": result.size,
        "regret": result.regret,
    }


def explanation_view(explanation: Explanation) -> Json:
    """Return what happens next to an asset."""
    asset = explanation.asset
    return {
        **_names(asset.path),
        "state": asset.state,
        "proof": proof_view(asset.proof),
        "heat": asset.heat,
        "rank": explanation.rank,
        "next": explanation.next,
        "reasons": list(explanation.reasons),
    }


def going_view(going: Going, addresses: Addresses) -> Json:
    """Return what is to go from the store, and when."""
    asset = going.asset
    return {
        **_names(asset.path),
        "key": None if asset.proof is None else addresses.whole_key(asset.proof.key),
        "size": asset.size,
        "type": asset.type,
        "rule": going.rule,
        "marked": going.marked,
        "at": going.at,
    }


def record_view(record: Record, addresses: Addresses) -> Json:
    """Return one change of state, and where the asset was and is."""
    return {
        "cursor": record.cursor,
        "at": record.at,
        "id": record.id,
        **_names(record.path),
        "event": record.event,
        "before": record.before,
        "after": record.after,
        "generation": record.generation,
        "key": record.key,
        "reason": record.reason,
        "was": _location(record.before, record.was_path, record.was_key, addresses),
        "location": _location(record.after, record.path, record.key, addresses),
    }


def is_move(view: Json) -> bool:
    """Whether a change of state is one of place."""
    return bool(view["was"] != view["location"])


def _location(state: State | None, path: str, key: str | None, addresses: Addresses) -> Json | None:
    if state in {None, State.GONE}:
        return None
    is_there = key is not None and state is not State.DAMAGED
    return {**_names(path), "on_disk": state in HOT, "url": addresses.url(key) if key and is_there else None}


def status_view(status: Status, rates: Rates, newest_event: int) -> Json:
    """Return everything at a glance; every state is there."""
    return {
        "newest_event": newest_event,
        "assets": {state: status.assets.get(state, 0) for state in State},
        "bytes": {state: status.bytes.get(state, 0) for state in State},
        "queue": asdict(status.queue),
        "rates": asdict(rates),
        "disk": asdict(status.disk),
        "store": {**asdict(status.store), "capabilities": dict(status.store.capabilities)},
        "brake": asdict(status.brake),
        "scrub": asdict(status.scrub),
        "rollout": asdict(status.rollout),
    }


def transfer_view(transfer: Transfer) -> Json:
    """Return one asset on its way, and how long that will take at the rate it had so far."""
    rate = transfer.bytes_per_second
    return {
        **_names(transfer.path),
        "direction": transfer.direction,
        "size": transfer.size,
        "done": transfer.done,
        "bytes_per_second": rate,
        "seconds_left": (transfer.size - transfer.done) / rate if rate else None,
    }


def wanted_view(wanted: tuple[RelPath, int]) -> Json:
    """Return how often an asset was asked for."""
    path, times = wanted
    return {**_names(path), "times": times}


def setback_view(asset: Asset) -> Json:
    """Return an asset that waits for a person, and what helps it."""
    failure = asset.failure
    what, remedy = f"it is {asset.state}", "see why: tierd explain"
    if failure is not None:
        what, remedy = f"{what}: {failure.message}", REMEDIES.get(failure.code, remedy)
    return {"at": None, **_names(asset.path), "what": what, "remedy": remedy, "times": 1}


def incident_view(incident: Incident) -> Json:
    """Return what was logged."""
    return {"path": None, "href": None, **asdict(incident)}


def stats_view(
    figures: Sequence[Figure], counts: Counts, rates: Rates, prices: Prices, storage_class: str, bill: Bill
) -> Json:
    """Return what there is, what happened, and what it costs."""
    stored = sum(figure.stored for figure in figures)
    cost = {
        "stored_bytes": stored,
        "storage_class": storage_class,
        "month": prices.of_keeping(stored),
        "bill": asdict(bill),
    }
    return {
        "states": _totalled(figures, "state"),
        "types": _totalled(figures, "type"),
        "campaigns": _totalled(figures, "campaign"),
        "media_types": _totalled(figures, "media_type"),
        **asdict(counts),
        "rates": asdict(rates),
        "cost": cost,
    }


def _totalled(figures: Sequence[Figure], name: str) -> Json:
    totals: dict[str, Json] = {}
    for figure in figures:
        total = totals.setdefault(getattr(figure, name), {"assets": 0, "bytes": 0, "archived": 0})
        total["assets"] += figure.assets
        total["bytes"] += figure.bytes
        total["archived"] += figure.assets if figure.state in ARCHIVED else 0
    return dict(sorted(totals.items()))


def _names(path: str) -> Json:
    return {"path": printable(path), "href": href_of(path)}


def _place(proof: Proof | None, addresses: Addresses, *, signs: bool) -> Json:
    if proof is None:
        return {"key": None, "url": None, "url_expires": None}
    url, until = addresses.signed_url(proof.key) if signs else (addresses.url(proof.key), None)
    return {"key": addresses.whole_key(proof.key), "url": url, "url_expires": until}


def _mtime(asset: Asset) -> float | None:
    if asset.fingerprint is not None:
        return asset.fingerprint.mtime_ns / _NANO
    return None if asset.proof is None else asset.proof.mtime_ns / _NANO
