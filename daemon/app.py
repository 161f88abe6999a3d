"""The composition root: everything is constructed here, each part from those it works with."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from daemon.addresses import Addresses
from daemon.checks import CHECKS
from daemon.circumstances import Circumstances
from daemon.demand import Demand
from daemon.doctor import examine
from daemon.fields import class_rule
from daemon.followers import Followers
from daemon.metrics import Metrics
from daemon.peers import Access
from daemon.route import Service
from daemon.server import Server
from daemon.signing import signer
from daemon.stopping import DRAIN_SECONDS
from daemon.thresholds import residence, retention, rollout, rules, watermarks
from daemon.trouble import Trouble
from daemon.watchdog import Pulse, Watchdog
from tiering.accesses import Accesses
from tiering.ageing import Ageing
from tiering.cdn import Invalidator
from tiering.classes import Classes
from tiering.clearance import Clearance
from tiering.couriers import Couriers
from tiering.curve import Curve
from tiering.demoter import Demoter
from tiering.departures import Departures
from tiering.describer import Describer
from tiering.discovery import Discovery
from tiering.drain import Drain
from tiering.drive import Here
from tiering.expiry import Expiry
from tiering.inbox import Inbox
from tiering.inspector import Inspector
from tiering.keeper import Keeper
from tiering.keys import KEY_BYTES
from tiering.lanes import Lanes
from tiering.layouts import named, own
from tiering.learning import learn_store
from tiering.leases import LEASE_SECONDS, Leases
from tiering.leftovers import Leftovers
from tiering.mailbox import Mailbox
from tiering.manifest import Manifest
from tiering.measurer import Measurer
from tiering.meter import Meter
from tiering.migration import Migration
from tiering.multipart import Multipart
from tiering.neighbours import Neighbours
from tiering.orders import Orders
from tiering.pacing import Bandwidth, ByteBudget, Pacer
from tiering.passage import Passage
from tiering.planner import Planner
from tiering.policies.age import AgePolicy
from tiering.policies.heat import PRESETS, HeatPolicy
from tiering.policies.lru import LruPolicy
from tiering.presigner import Presigner
from tiering.prices import Prices
from tiering.probe import probe
from tiering.prober import Prober
from tiering.promoter import Promoter, Remedies
from tiering.pruner import Pruner
from tiering.reader import Reader
from tiering.reconciler import Reconciler
from tiering.registry import Registry
from tiering.rekeyer import Rekeyer
from tiering.scrubber import Scrubber
from tiering.sender import Means, Sender, Sizes
from tiering.sidecars import Sidecars
from tiering.space import Space
from tiering.stocktaking import Stocktaking
from tiering.stores.cloudfront import Distribution
from tiering.stores.observed import ObservedStore
from tiering.stores.prompt import PromptStore
from tiering.stores.remote import Remote
from tiering.stores.rest_store import RestStore
from tiering.stores.s3 import S3Store
from tiering.stores.sqs import Queue
from tiering.succession import Succession
from tiering.sweeper import Sweeper
from tiering.thaw import Speed, Thaw
from tiering.thermometer import Thermometer
from tiering.tiers import Tiers
from tiering.turns import ThreadTurns, Turns
from tiering.uploader import Uploader
from tiering.verifier import Verifier
from tiering.watermarks import Watermarks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from daemon.doctor import Row
    from daemon.notify import Notifier
    from daemon.settings import Settings
    from index.catalog import Catalog
    from tiering.keys import Layout
    from tiering.policy import TierPolicy
    from tiering.store import Objects, Store
    from tiering.tree import Tree

BUDGET_BYTES: Final = 32 << 20
"""Bytes of content in memory on their way to the store."""
LANES: Final = 4
"""Threads for short work on files: so many for those who read, and so many for small uploads."""
COURIERS: Final = "courier"
"""What the names of the threads begin with that upload small files."""
SMALL_BYTES: Final = 128 << 10
"""Larger files are worth the care of the event loop, and their memory is counted there."""
PROMOTIONS: Final = 16
SCRUB_BYTES: Final = 16 << 20
"""Bytes a second that are read again at most: a month of it are 40 TB."""
GRACE_SECONDS: Final = 600.0
"""How long a copy waits in the trash where the kernel grants no file lease."""
POLICIES: Final[dict[str, Callable[[HeatPolicy], TierPolicy]]] = {
    "heat": lambda heat: heat,
    "lru": lambda _: LruPolicy(),
    "age": lambda _: AgePolicy(),
}


class Parts:
    """Every part of the daemon, constructed when it is first asked for, each from the parts it works with."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        store: Store,
        tree: Tree,
        group: asyncio.TaskGroup,
        *,
        root_id: str,
        brand_new: bool,
        sealed: bool,
        notifier: Notifier,
    ) -> None:
        """`brand_new`: no earlier run can have granted a lease on this root. `sealed`: no newer index can have been."""
        self.settings = settings
        self.catalog = catalog
        self.tree = tree
        self.group = group
        self._store = store
        self._root_id = root_id
        self._brand_new = brand_new
        self._sealed = sealed
        self._notifier = notifier
        self._examining = asyncio.Lock()

    def work(self) -> dict[str, Coroutine[object, object, None]]:
        """Return what goes on for as long as the daemon lives, by name."""
        return {
            "index": self.catalog.watch(),
            "learning": learn_store(
                self.discovery, self.prober, scanned=self.reconciler.scanned, scan=self.reconciler.want_scan
            ),
            "reconciler": self.reconciler.run(),
            "keeper": self.keeper.run(),
            "registry": self.registry.run(),
            "rekeyer": self.rekeyer.run(),
            "neighbours": self.neighbours.run(),
            **({} if self.mailbox is None else {"mailbox": self.mailbox.run()}),
            **({} if self.invalidator is None else {"invalidator": self.invalidator.run()}),
            "sweeper": self.sweeper.run(),
            "sidecars": Sidecars(self.catalog, self.tree, self.describer).run(),
            "measurer": Measurer(self.catalog, self.tree, turns=self.turns).run(),
            "reader": Reader(self.catalog).run(),
            "ageing": self.ageing.run(),
            "meter": self.meter.run(),
            "expiry": self.expiry.run(),
            "scrubber": self.scrubber.run(),
            "accesses": self.accesses.run(),
            "inspector": self.inspector.run(),
            "thaw": self.thaw.run(self.promoter.begin),
            **({"inbox": self.inbox.run()} if isinstance(self._store, Remote) else {}),
            **({"manifest": self.manifest.run()} if self.layout.name == "creative" else {}),
            "watchdog": self.watchdog.run(),
        }

    def adjust(self, settings: Settings) -> None:
        """Let what can change while everything runs follow new settings."""
        self.space.size_limit = settings.cache.size_limit
        self.planner.residence = residence(settings)
        self.planner.rules = rules(settings)
        self.planner.rollout = self.rekeyer.rollout = rollout(settings)
        self.expiry.follow(retention(settings), self.planner.rollout)
        self.uploader.follow(self.planner.rollout)
        self.catalog.misplaced.set()
        self._tell_doctor(settings)
        self.keeper.watermarks = watermarks(settings)
        self.keeper.interval = settings.tiering.interval.total_seconds()
        self.bandwidth.rate = settings.upload.bandwidth
        self.keeper.wake()

    def _tell_doctor(self, settings: Settings) -> None:
        """Have checks see the roll-out that holds now; whatever needs a new start is as it was at the last one."""
        now = {"mode": settings.store.mode, "percent": settings.store.percent}
        self.settings = self.settings.model_copy(update={"store": self.settings.store.model_copy(update=now)})

    # What decides.

    @cached_property
    def leases(self) -> Leases:
        """The leases that applications hold."""
        return Leases(clock=time.monotonic, quiet=0.0 if self._brand_new else LEASE_SECONDS)

    @cached_property
    def turns(self) -> Turns:
        """Who of us has which file."""
        return Turns()

    @cached_property
    def prices(self) -> Prices:
        """What keeping and moving bytes costs here."""
        return Prices(**self.settings.prices.model_dump())

    @cached_property
    def key_turns(self) -> Turns:
        """Who of us writes at which key."""
        return Turns()

    @cached_property
    def policy(self) -> TierPolicy:
        """The order in which assets leave the disk."""
        return POLICIES[self.settings.tiering.policy](self.thermometer.policy)

    @cached_property
    def thermometer(self) -> Thermometer:
        """What measures heat, whatever the policy: who changes to heat should not begin at nothing."""
        return Thermometer(HeatPolicy(PRESETS[self.settings.tiering.preset]), clock=time.time)

    @cached_property
    def departures(self) -> Departures:
        """What the policy sent away lately."""
        return Departures(self.thermometer, observer=self.metrics)

    @cached_property
    def planner(self) -> Planner:
        """Which assets may leave the disk, and which stay."""
        return Planner(
            residence(self.settings),
            self.policy,
            is_leased=self.leases.is_held,
            rules=rules(self.settings),
            rollout=rollout(self.settings),
        )

    @cached_property
    def clearance(self) -> Clearance:
        """Whether anything may leave the disk at present."""
        return Clearance(self.reconciler, self.prober, self.leases, clock=time.monotonic)

    @cached_property
    def space(self) -> Space:
        """The room that assets have on the disk."""
        return Space(self.catalog, self.tree, size_limit=self.settings.cache.size_limit)

    @cached_property
    def keeper(self) -> Keeper:
        """What keeps the disk below its watermarks."""
        return Keeper(
            self.catalog,
            self.demoter,
            self.planner,
            space=self.space,
            watermarks=watermarks(self.settings),
            receive=self.accesses.receive,
            left=self.departures.left,
            reason_to_wait=self.clearance.reason_to_wait,
            interval=self.settings.tiering.interval.total_seconds(),
            clock=time.time,
        )

    # What moves.

    @cached_property
    def store(self) -> ObservedStore:
        """The cold tier, with every request counted."""
        return ObservedStore(self._store, self.metrics)

    @cached_property
    def pacer(self) -> Pacer:
        """How many requests the store takes at once."""
        return Pacer(self.settings.upload.concurrency, clock=time.monotonic)

    @cached_property
    def bandwidth(self) -> Bandwidth:
        """The rate at which bytes may go to the store."""
        return Bandwidth(self.settings.upload.bandwidth, clock=time.monotonic)

    @cached_property
    def budget(self) -> ByteBudget:
        """The memory for contents on their way to the store."""
        return ByteBudget(BUDGET_BYTES)

    @cached_property
    def prober(self) -> Prober:
        """What finds out what the store can be trusted with."""
        return Prober(self.store, name=self._root_id, pacer=self.pacer, ready=self.catalog.work.set)

    @cached_property
    def layout(self) -> Layout:
        """The rule by which objects are named."""
        chosen, key_bytes = self.settings.layout, KEY_BYTES - len(self.store.url.encode())
        if chosen.rules is None:
            return named(chosen.name, key_bytes=key_bytes)
        return own([rule.rule() for rule in chosen.rules], key_bytes=key_bytes)

    @cached_property
    def classes(self) -> Classes:
        """The storage classes of objects."""
        return Classes(tuple(map(class_rule, self.settings.store.class_rules)))

    @cached_property
    def leftovers(self) -> Leftovers:
        """What tells objects that nobody needs from those that somebody does."""
        return Leftovers(self.catalog, self.store, host=self._root_id)

    @cached_property
    def sender(self) -> Sender:
        """What brings one content to the store, and proves it."""
        return self._sender(self.store, Means(Lanes(LANES), self.budget, self.key_turns))

    def _sender(self, store: Objects, means: Means) -> Sender:
        upload = self.settings.upload
        return Sender(
            store,
            self.layout,
            Multipart(self.catalog, self.store, budget=self.budget, bandwidth=self.bandwidth),
            self.leftovers,
            classes=self.classes,
            sizes=Sizes(upload.multipart_above, upload.part_size),
            means=means,
            bandwidth=self.bandwidth,
            clock=time.time,
        )

    @cached_property
    def describer(self) -> Describer:
        """What finds out what files are."""
        rules = [rule.rule() for rule in self.settings.metadata.rules or ()]
        return Describer(self.catalog, self.tree, rules, lanes=Lanes(LANES))

    @cached_property
    def rekeyer(self) -> Rekeyer:
        """What has remote copies follow what is said of their assets."""
        return Rekeyer(
            self.catalog,
            self.store,
            self.layout,
            classes=self.classes,
            prober=self.prober,
            alone_at=self.key_turns.take,
            leftovers=self.leftovers,
            host=self._root_id,
            clock=time.time,
            rollout=self.planner.rollout,
        )

    @cached_property
    def meter(self) -> Meter:
        """What counts what is paid for."""
        return Meter(
            self.catalog,
            self.store,
            self.metrics.tally,
            prices=self.prices,
            default_class=self.settings.store.storage_class or "STANDARD",
            toll=self._store.toll if isinstance(self._store, Remote) else None,
            clock=time.time,
        )

    @cached_property
    def ageing(self) -> Ageing:
        """What has remote copies change their storage class as they get older."""
        return Ageing(self.catalog, self.store, self.rekeyer, classes=self.classes, clock=time.time)

    @cached_property
    def migration(self) -> Migration:
        """What has all remote copies follow to the configured layout."""
        return Migration(
            self.catalog,
            self.layout,
            self.rekeyer,
            Pruner(self.catalog, self.store, alone_at=self.key_turns.take, host=self._root_id),
            layout_of=partial(named, key_bytes=KEY_BYTES - len(self.store.url.encode())),
            is_learnt=self.discovery.done.is_set,
            clock=time.time,
        )

    @cached_property
    def couriers(self) -> Couriers:
        """The threads that upload small files."""
        upload, keys = self.settings.upload, ThreadTurns(self.key_turns)
        return Couriers(
            self.tree,
            self._sender(PromptStore(self.store), Means(Here(), Here(), keys)),
            ThreadPoolExecutor(upload.concurrency, thread_name_prefix=COURIERS),
            keys=keys,
            look=self.describer.look,
            small=SMALL_BYTES,
            bandwidth=self.bandwidth,
            settle=upload.settle.total_seconds(),
            clock=time.time,
        )

    @cached_property
    def uploader(self) -> Uploader:
        """What uploads new assets."""
        uploader = Uploader(
            self.catalog,
            self.tree,
            self.sender,
            describe=self.describer.describe,
            couriers=self.couriers,
            prober=self.prober,
            pacer=self.pacer,
            observer=self.metrics,
            clock=time.time,
            settle=self.settings.upload.settle.total_seconds(),
        )
        uploader.follow(self.planner.rollout)
        return uploader

    @cached_property
    def demoter(self) -> Demoter:
        """What removes local copies."""
        return Demoter(
            self.catalog,
            self.tree,
            self.store,
            succession=self.succession,
            turns=self.turns,
            is_leased=self.leases.is_held,
            observer=self.metrics,
            grace=GRACE_SECONDS,
        )

    @cached_property
    def succession(self) -> Succession:
        """What takes in a later content that is found where another was proven."""
        return Succession(self.catalog, self.store, host=self._root_id, clock=time.time)

    @cached_property
    def thaw(self) -> Thaw:
        """What brings objects out of an archive."""
        store = self.settings.store
        return Thaw(
            self.catalog,
            self._store.requests if isinstance(self._store, S3Store) else None,
            None if store.restore is None else Speed(store.restore, store.restore_days),
            clock=time.time,
        )

    @cached_property
    def promoter(self) -> Promoter:
        """What brings them back."""
        return Promoter(
            self.catalog,
            self.tree,
            self.store,
            group=self.group,
            space=self.space,
            make_room=self.keeper.make_room,
            remedies=Remedies(self.succession, self.thaw),
            observer=self.metrics,
            clock=time.time,
            concurrency=PROMOTIONS,
        )

    # What learns.

    @cached_property
    def reconciler(self) -> Reconciler:
        """What keeps the index true to the disk."""
        return Reconciler(
            self.catalog,
            self.tree,
            root_id=self._root_id,
            observer=self.metrics,
            clock=time.time,
            settle=self.settings.upload.settle.total_seconds(),
            turns=self.turns,
            is_learnt=self.discovery.done.is_set,
            is_misplaced=self.rekeyer.is_misplaced,
        )

    @cached_property
    def discovery(self) -> Discovery:
        """What learns which assets the store has."""
        return Discovery(
            self.catalog,
            self.store,
            self.layout,
            is_ignored=self.tree.is_ignored,
            host=self._root_id,
            doubted=not self._sealed,
            pacer=self.pacer,
            clock=time.time,
        )

    @cached_property
    def neighbours(self) -> Neighbours:
        """What takes in what other hosts have done to the store."""
        return Neighbours(
            self.catalog,
            self.store,
            self.discovery,
            self.demoter,
            self.promoter,
            every=self.settings.store.look_every.total_seconds(),
            is_fed=lambda: self.mailbox is not None and self.mailbox.is_fed,
            reason_to_wait=self.clearance.reason_to_wait,
        )

    @cached_property
    def stocktaking(self) -> Stocktaking:
        """What says what the store has and the index lacks."""
        return Stocktaking(
            self.catalog,
            self.store,
            self.layout,
            is_ignored=self.tree.is_ignored,
            host=self._root_id,
            clock=time.time,
        )

    @cached_property
    def addresses(self) -> Addresses:
        """What objects are called where others look for them."""
        return Addresses(self.store.url, self.settings.cdn.public_url, signer(self.settings.cdn, clock=time.time))

    @cached_property
    def invalidator(self) -> Invalidator | None:
        """What tells a content delivery network what to forget, where there is one."""
        cdn = self.settings.cdn
        if cdn.distribution is None or not isinstance(self._store, S3Store):
            return None
        return Invalidator(
            self.catalog,
            Distribution(cdn.distribution, self._store.requests.settings),
            patterns=cdn.invalidate,
            path_of=self.addresses.viewers_path,
            host=self._root_id,
            told=self.metrics.invalidated,
        )

    @cached_property
    def mailbox(self) -> Mailbox | None:
        """The queue by which the bucket tells what happens in it, where there is one."""
        url = self.settings.store.events_queue
        if url is None or not isinstance(self._store, S3Store):
            return None
        requests = self._store.requests
        mailbox = Mailbox(
            Queue(url, requests.settings),
            self.store,
            self.neighbours,
            bucket=requests.settings.bucket,
            prefix=requests.prefix,
            host=self._root_id,
            observer=self.metrics,
        )
        self.metrics.listen(lambda: mailbox.is_fed)
        return mailbox

    @cached_property
    def sweeper(self) -> Sweeper:
        """What clears away uploads, events and tombstones that nobody needs."""
        return Sweeper(self.catalog, self.store, clock=time.time)

    @cached_property
    def scrubber(self) -> Scrubber:
        """What looks at both tiers again."""
        return Scrubber(
            self.catalog,
            self.tree,
            self.store,
            turns=self.turns,
            bandwidth=Bandwidth(SCRUB_BYTES, clock=time.monotonic),
            succession=self.succession,
            observer=self.metrics,
            clock=time.time,
            settle=self.settings.upload.settle.total_seconds(),
        )

    @cached_property
    def accesses(self) -> Accesses:
        """The last accesses, for the policy."""
        return Accesses(
            self.catalog,
            self.thermometer,
            curve=self.curve,
            capacity=lambda: self.space.usage().capacity,
            clock=time.time,
        )

    @cached_property
    def curve(self) -> Curve:
        """What more disk would bring, by what was read since the start."""
        cache, preset = self.settings.cache, PRESETS[self.settings.tiering.preset]
        make = POLICIES[self.settings.tiering.policy]
        marks = Watermarks(cache.high_watermark, cache.low_watermark)
        return Curve(lambda: make(HeatPolicy(preset)), self.space.usage().capacity, marks, prices=self.prices)

    # What answers.

    async def examine(self) -> list[Row]:
        """Look for what is wrong with this host and its store, as it is now."""
        place = Circumstances(
            settings=self.settings,
            store=self._store,
            faults=self.catalog.faults,
            capabilities=partial(probe, self._store, name=f"{self._root_id}-doctor"),
            uploads=self.catalog.uploads.ids,
            deaf=lambda: "" if self.mailbox is None else self.mailbox.trouble,
        )
        async with self._examining:  # Two probes at once would find each other's object.
            return await examine(CHECKS, place)

    @cached_property
    def watchdog(self) -> Watchdog:
        """What shows the service manager that everything goes on."""
        pulses = (Pulse("index", self.catalog.beat), Pulse("files", partial(asyncio.to_thread, int)))
        return Watchdog(self._notifier, pulses, status=self._in_a_line)

    def _in_a_line(self) -> str:
        totals = self.catalog.totals
        return f"{sum(totals.assets.values())} assets, {totals.unprotected_bytes} bytes not in the store yet"

    @cached_property
    def metrics(self) -> Metrics:
        """The figures for Prometheus."""
        metrics = Metrics(version=version("tierd"))
        metrics.charge(lambda: self.meter.bill())  # noqa: PLW0108 - likewise
        metrics.watch(lambda: self.inspector.status())  # noqa: PLW0108 - it does not exist yet
        metrics.date(scanned=lambda: self.reconciler.scanned_at, credentials_end=self._credentials_end)
        return metrics

    def _credentials_end(self) -> float:
        return self._store.credentials_end if isinstance(self._store, Remote) else 0.0

    @cached_property
    def demand(self) -> Demand:
        """What people ask for most."""
        return Demand(clock=time.monotonic)

    @cached_property
    def trouble(self) -> Trouble:
        """What went wrong lately."""
        return Trouble()

    @cached_property
    def tiers(self) -> Tiers:
        """What applications ask for, one asset at a time."""
        cut = self.settings.tiering.admission == "cut"
        return Tiers(
            self.catalog,
            self.tree,
            reconciler=self.reconciler,
            discovery=self.discovery,
            promoter=self.promoter,
            demoter=self.demoter,
            leases=self.leases,
            accesses=self.accesses,
            passage=Passage(self.store, self.departures, doubt=self.promoter.begin, cut=cut),
            lanes=Lanes(LANES),
        )

    @cached_property
    def orders(self) -> Orders:
        """What people order for many assets at once."""
        return Orders(
            self.catalog,
            self.promoter,
            self.demoter,
            self.planner,
            find=self.tiers.find,
            receive=self.accesses.receive,
            expected=self.thermometer.expected,
            reason_to_wait=self.clearance.reason_to_wait,
            require_overwritable=self.sender.require_overwritable,
            group=self.group,
            clock=time.time,
        )

    @cached_property
    def registry(self) -> Registry:
        """What changes and ends assets on the word of people."""
        return Registry(
            self.catalog, self.tree, self.store, turns=self.turns, find=self.tiers.find, recall=self.demoter.recall
        )

    @cached_property
    def manifest(self) -> Manifest:
        """What tells in the store what is where."""
        return Manifest(
            self.catalog, self.store, host=self._root_id, clock=time.time, rollout=lambda: self.planner.rollout
        )

    @cached_property
    def expiry(self) -> Expiry:
        """What has old assets go from the store, where a rule says so."""
        return Expiry(
            self.catalog,
            self.store,
            retention(self.settings),
            host=self._root_id,
            reason_to_wait=self.clearance.reason_to_wait,
            purge=self.registry.purge_soon,
            observer=self.metrics,
            clock=time.time,
            rollout=self.planner.rollout,
        )

    @cached_property
    def inspector(self) -> Inspector:
        """The status of everything, and why an asset is where it is."""
        return Inspector(
            self.catalog,
            find=self.tiers.find,
            keeper=self.keeper,
            uploader=self.uploader,
            promoter=self.promoter,
            prober=self.prober,
            reconciler=self.reconciler,
            scrubber=self.scrubber,
            thermometer=self.thermometer,
            clock=time.time,
        )

    @cached_property
    def inbox(self) -> Inbox:
        """Where what others upload by presigned URLs arrives."""
        return Inbox(
            self.catalog,
            self.store,
            self.layout,
            name=self._root_id,
            find=self.tiers.find,
            learnt=self.discovery.done,
            clock=time.time,
        )

    @cached_property
    def presigner(self) -> Presigner:
        """What gives presigned URLs."""
        return Presigner(
            self._store.signer if isinstance(self._store, S3Store | RestStore) else None,
            self.inbox,
            longest=self.settings.api.presign_longest.total_seconds(),
            find=self.tiers.find,
            is_ignored=self.tree.is_ignored,
            clock=time.time,
        )

    @cached_property
    def server(self) -> Server:
        """The API on its sockets."""
        api = self.settings.api
        service = Service(
            catalog=self.catalog,
            leases=self.leases,
            tiers=self.tiers,
            orders=self.orders,
            presigner=self.presigner,
            registry=self.registry,
            expiry=self.expiry,
            inspector=self.inspector,
            verifier=Verifier(self.catalog, self.tree, self.store, clock=time.time),
            stocktaking=self.stocktaking,
            migration=self.migration,
            drain=Drain(self.catalog, scan=self.reconciler.reconcile_now, clock=time.time),
            examine=self.examine,
            reconciler=self.reconciler,
            observer=self.metrics,
            access=Access.named(read=api.read, write=api.write, admin=api.admin, presign=api.presign),
            followers=Followers(),
            render_metrics=self.metrics.render,
            rates=self.metrics.rates,
            demand=self.demand,
            trouble=self.trouble,
            curve=self.curve.read,
            counts=self.metrics.counts,
            storage_class=self.settings.store.storage_class or "STANDARD",
            bill=self.meter.bill,
            prices=self.prices,
            clock=time.time,
            root=self.settings.cache.root,
            addresses=self.addresses,
            version=version("tierd"),
        )
        return Server(service, grace_seconds=DRAIN_SECONDS / 2)
