"""The queue of a bucket: what others did is taken in once, whatever the order; and whether it is fed is known."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import boto3
import pytest
from core import Clock, Core, Rules, until
from test_bucket_permissions import Account
from test_bulletin import from_s3
from test_neighbours import FIRST, SECOND, two_hosts
from trees import make_tree

from index.asset import RelPath
from index.catalog import Catalog
from index.lifecycle import State
from tiering import mailbox as module
from tiering.bucket.permissions import daemon_policy
from tiering.bucket.plan import Outcome
from tiering.bucket.setup import Setup
from tiering.bucket.wishes import Wishes
from tiering.file_lease import ignore_sigio
from tiering.mailbox import BELL, Mailbox
from tiering.observer import SilentObserver
from tiering.store import Attributes, RefusedError, UnavailableError
from tiering.stores import sqs
from tiering.stores.faulty import Fail
from tiering.stores.s3 import S3Store
from tiering.stores.s3_connection import S3Settings
from tiering.stores.sqs import Message, Queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path


class Told(SilentObserver):
    """Remembers what was counted."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def told(self, result: str, count: int) -> None:
        """See Observer."""
        self.counts[result] = self.counts.get(result, 0) + count


class Pile:
    """A queue in memory: what is not deleted stays."""

    def __init__(self, *bodies: str) -> None:
        self.messages = [Message(body, str(number)) for number, body in enumerate(bodies)]
        self.error: Exception | None = None

    def __repr__(self) -> str:
        return "the pile"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def receive(self) -> list[Message]:
        """Return what is there."""
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return [*self.messages]

    async def delete(self, messages: Sequence[Message]) -> None:
        """Delete them."""
        self.messages = [each for each in self.messages if each not in messages]


def a_mailbox(core: Core, queue: Any, *, prefix: str = "studio/") -> tuple[Mailbox, Told]:
    """Return a mailbox and what it counts."""
    told = Told()
    box = Mailbox(queue, core.store, core.neighbours, bucket="media", prefix=prefix, host="here", observer=told)
    return box, told


def said(name: str, key: str, **more: Any) -> str:
    """Return the body of a message."""
    return json.dumps(from_s3(name, f"studio/{key}", **more))


async def test_what_messages_say_is_looked_at(tmp_path: Path) -> None:
    """Twice, late and in any order; what is told of others, and what nobody understands, changes nothing."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await there.hot("b", FIRST)
        await there.store.put("elsewhere", b"body", Attributes())
        put, gone = said("ObjectCreated:Put", "a"), said("ObjectRemoved:Delete", "a", sequencer="09")
        foreign = json.dumps(from_s3("ObjectCreated:Put", "other/b"))
        pile = Pile("no JSON", put, put, gone, foreign, '{"Event": "s3:TestEvent"}', said("ObjectRemoved:Delete", "b"))
        box, told = a_mailbox(here, pile)
        await box.take(await pile.receive())
        assert await here.state("a") is State.COLD
        assert await here.state("b") is State.COLD
        assert [each.body for each in pile.messages] == ["no JSON"]
        assert told.counts == {"malformed": 1, "ignored": 1, "taken": 4}


async def test_what_cannot_be_looked_at_comes_again(tmp_path: Path) -> None:
    """While the store is away nothing is deleted; where it refuses one object, the others are seen to."""
    async with two_hosts(tmp_path) as (here, there):
        await there.hot("a", FIRST)
        await there.hot("b", FIRST)
        pile = Pile(said("ObjectCreated:Put", "a"), said("ObjectCreated:Put", "b"))
        box, _ = a_mailbox(here, pile)
        here.store.script = [Fail(operation="head", error=UnavailableError("503"))]
        with pytest.raises(UnavailableError):
            await box.take(await pile.receive())
        assert len(pile.messages) == 2
        asked = here.store.calls["head"]
        # Both are asked about at once; then one after the other.
        here.store.script = [Fail(operation="head", first=asked + 1, times=3, error=RefusedError("403"))]
        await box.take(await pile.receive())
        assert [asset.path for asset in await here.assets()] == ["b"]
        assert [each.body for each in pile.messages] == [said("ObjectCreated:Put", "a")]


async def test_whether_it_is_fed_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bell that nobody hears is said once, with what to do; one message of ours is enough to believe in it again."""
    monkeypatch.setattr(module, "HEARD_SECONDS", 0.0)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    async with two_hosts(tmp_path) as (here, _):
        pile = Pile()
        box, _ = a_mailbox(here, pile)
        assert not box.is_fed
        async with asyncio.TaskGroup() as group:
            running = group.create_task(box.run())
            await until(lambda: "s3:ObjectCreated:*" in box.trouble)
            assert (await here.store.head(f"{BELL}here")).size == 0
            pile.messages = [Message(said("ObjectCreated:Put", f"{BELL}here"), "1")]
            await until(lambda: box.is_fed)
            pile.error = RefusedError("there is no queue", hint="correct it")
            await until(lambda: box.trouble == "there is no queue; correct it")
            pile.error = None
            pile.messages = [Message(said("ObjectCreated:Put", f"{BELL}here"), "2")]
            await until(lambda: box.is_fed)
            running.cancel()
    assert sum("is not fed" in record.message for record in caplog.records) == 1


# On a server that has both


class Cloud:
    """A bucket on moto that sends its notifications to a queue."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.bucket = f"shared-{uuid.uuid4().hex[:8]}"
        common = {"endpoint_url": endpoint, "region_name": "us-east-1", "aws_access_key_id": "a"}
        self.s3: Any = boto3.client("s3", aws_secret_access_key="a", **common)
        self.sqs: Any = boto3.client("sqs", aws_secret_access_key="a", **common)
        self.s3.create_bucket(Bucket=self.bucket)
        self.queue = self.sqs.create_queue(QueueName=self.bucket)["QueueUrl"]

    async def feed(self) -> None:
        """Have the bucket send its notifications, as `tierd bucket setup` does."""
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        store = await S3Store.connect(self.settings)
        wishes = Wishes(bucket=self.bucket, prefix="studio/", region="us-east-1", notify_to=arn)
        setup = Setup(store.requests, store, wishes)
        assert [step.outcome async for step in setup.apply(await setup.survey())] == [Outcome.UNCHANGED, Outcome.DONE]
        assert (await setup.survey()).pending == []
        await store.close()

    @property
    def settings(self) -> S3Settings:
        """How hosts reach it."""
        return S3Settings(bucket=self.bucket, prefix="studio", endpoint=self.endpoint, region="us-east-1")

    @asynccontextmanager
    async def core(self, directory: Path, host: str) -> AsyncIterator[Core]:
        """Start the core of a host."""
        ignore_sigio()
        tree = make_tree(directory / host)
        async with AsyncExitStack() as stack:
            catalog = await Catalog.open(directory / f"{host}.db")
            stack.push_async_callback(catalog.close)
            store = await S3Store.connect(self.settings)
            stack.push_async_callback(store.close)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            yield Core(tree, catalog, store, group, clock=Clock(), rules=Rules(), root_id=host)

    def close(self) -> None:
        """Let its connections go."""
        self.s3.close()
        self.sqs.close()


@pytest.fixture
def cloud(moto_endpoint: str, credentials: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One of its own, in which nobody waits long for a message."""
    monkeypatch.setattr(sqs, "WAIT_SECONDS", 1)
    made = Cloud(moto_endpoint)
    yield made
    made.close()


async def test_a_host_hears_what_another_does(cloud: Cloud, tmp_path: Path) -> None:
    """Put, replaced and removed; and what it took in is no message any more."""
    await cloud.feed()
    async with (
        cloud.core(tmp_path, "here") as here,
        cloud.core(tmp_path, "there") as there,
        Queue(cloud.queue, cloud.settings) as queue,
    ):
        box = Mailbox(
            queue,
            here.store,
            here.neighbours,
            bucket=cloud.bucket,
            prefix="studio/",
            host="here",
            observer=SilentObserver(),
        )
        await there.hot("d/ü +%.jpg", FIRST)
        await box.take(await queue.receive())
        assert await here.read("d/ü +%.jpg") == FIRST
        assert box.is_fed
        (there.tree.root / "d/ü +%.jpg").write_bytes(SECOND)
        await there.scan()
        await there.upload_all()
        await box.take(await queue.receive())
        await here.neighbours.give_way()
        assert await here.read("d/ü +%.jpg") == SECOND
        assert (await here.demoter.demote(await here.find("d/ü +%.jpg"), reason="request")).done
        await there.registry.remove(RelPath("d/ü +%.jpg"))
        await there.registry._purge_all()
        await box.take(await queue.receive())
        assert await here.state("d/ü +%.jpg") is State.GONE
        assert await queue.receive() == []
        assert (await queue.attributes())["ApproximateNumberOfMessages"] == "0"


async def test_a_queue_that_is_not_there(cloud: Cloud) -> None:
    """It is named, with the region in which it was looked for."""
    async with Queue(f"{cloud.queue}x", cloud.settings) as queue:
        for ask in (queue.receive, queue.attributes):
            with pytest.raises(RefusedError, match=r"there is no queue .*x in us-east-1") as told:
                await ask()
            assert "events_queue" in told.value.hint


async def test_a_queue_that_does_not_answer(cloud: Cloud) -> None:
    """That is weather."""
    async with Queue("http://127.0.0.1:1/1/q", cloud.settings) as queue:
        with pytest.raises(UnavailableError) as told:
            await queue.receive()
        assert "events_queue" in told.value.hint


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-central-1.amazonaws.com/1/q", "eu-central-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1"),
        ("https://eu-west-1.queue.amazonaws.com/1/q", "eu-west-1"),
        ("http://127.0.0.1:9324/1/q", "us-west-2"),
    ],
)
def test_the_region_is_the_urls(url: str, region: str) -> None:
    """Where it names one."""
    assert Queue(url, S3Settings(bucket="b", region="us-west-2")).region == region


async def test_who_may_not_is_told_which_right_he_needs(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with what `--iam` prints it can be followed."""
    account = Account(cloud.endpoint)
    try:
        wishes = replace(account.wishes, queue=cloud.queue)
        for policy, is_enough in ((daemon_policy(account.wishes), False), (daemon_policy(wishes), True)):
            for name, value in account.user(policy).items():
                monkeypatch.setenv(name, value)
            async with Queue(cloud.queue, cloud.settings) as queue:
                with account.enforced(), nullcontext() if is_enough else pytest.raises(RefusedError) as told:
                    await queue.receive()
                    await queue.attributes()
            if not is_enough:
                assert "may not do sqs:ReceiveMessage" in str(told.value)
                assert "--iam" in told.value.hint
    finally:
        account.close()
