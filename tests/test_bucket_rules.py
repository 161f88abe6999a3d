"""What is planned for a bucket, without one: from documents as servers word them to documents as they should be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tiering.bucket import documents
from tiering.bucket.documents import DeniedError, NotSupportedError
from tiering.bucket.permissions import daemon_policy, setup_policy
from tiering.bucket.place import name_fault
from tiering.bucket.plan import Outcome, plan
from tiering.bucket.rule import TakenError, own_name
from tiering.bucket.rules import rules_for
from tiering.bucket.wishes import Wishes

NOTHING = Wishes(bucket="media", prefix="studio/", region="eu-central-1")
EVERYTHING = replace(
    NOTHING,
    versioning=True,
    encryption="aws:kms:some-key",
    block_public_access=True,
    abort_uploads_after=7,
    transition_after=90,
    expire_after=400,
    expire_versions_after=30,
    cors_origins=("https://app.example",),
    log_bucket="logs",
    tags={"team": "media"},
    accelerate=True,
    replicate_to="copy",
    replication_role="arn:aws:iam::1:role/r",
    notify_to="arn:aws:sqs:eu-central-1:1:media",
    tls_only=True,
)
EMPTY = {rule.document.name: {} for rule in rules_for(EVERYTHING)}
OTHERS_RULE = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}}
OTHERS = {
    documents.LIFECYCLE.name: {"Rules": [OTHERS_RULE], "TransitionDefaultMinimumObjectSize": "varies_by_storage_class"},
    documents.CORS.name: {"CORSRules": [{"ID": "theirs", "AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}]},
    documents.TAGS.name: {"TagSet": [{"Key": "theirs", "Value": "1"}]},
    documents.REPLICATION.name: {"Role": "arn:aws:iam::1:role/r", "Rules": [{"ID": "theirs", "Priority": 4}]},
    documents.NOTIFICATION.name: {
        "EventBridgeConfiguration": {},
        "TopicConfigurations": [{"Id": "theirs", "TopicArn": "t", "Events": ["s3:ObjectRestore:*"]}],
    },
    documents.POLICY.name: {"Version": "2012-10-17", "Id": "theirs", "Statement": [{"Sid": "theirs"}]},
}


def applied(wishes: Wishes, found: dict[str, Any]) -> dict[str, Any]:
    """Return the documents after all that is planned was done, one rule after the other."""
    state = dict(found)
    for rule in rules_for(wishes):
        state[rule.document.name] = rule.amended(state[rule.document.name])
    return state


@pytest.mark.parametrize("found", [EMPTY, EMPTY | OTHERS], ids=["fresh", "of others"])
def test_done_once_nothing_is_left_to_do(found: dict[str, Any]) -> None:
    """Each rule is planned once; after it nothing is."""
    rules = rules_for(EVERYTHING)
    assert {step.outcome for step in plan(rules, found)} == {Outcome.PLANNED}
    assert len({rule.name for rule in rules}) == len(rules)
    assert {step.outcome for step in plan(rules, applied(EVERYTHING, found))} == {Outcome.UNCHANGED}


def test_what_others_wrote_stays() -> None:
    """Their rules, tags and statements are there after ours came, and exactly they after ours have gone."""
    found = EMPTY | OTHERS
    with_ours = applied(EVERYTHING, found)
    for name in OTHERS:
        assert "theirs" in str(with_ours[name]), name
    without = applied(NOTHING, {name: with_ours[name] for name in with_ours})
    for name in set(OTHERS) - {documents.TAGS.name}:
        assert without[name] == found[name], name
    lifecycle = with_ours[documents.LIFECYCLE.name]
    assert [rule["ID"] for rule in lifecycle["Rules"]] == [
        "theirs",
        *(
            own_name(name, "studio/")
            for name in ("abort_uploads_after", "transition_after", "expire_after", "expire_versions_after")
        ),
    ]
    assert lifecycle["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"


def test_only_under_our_prefix() -> None:
    """Whatever can be confined is: two daemons in one bucket have rules of their own, and do not take each other's."""
    first = applied(EVERYTHING, EMPTY)
    both = applied(replace(EVERYTHING, prefix="other/"), first)
    assert {rule["Filter"]["Prefix"] for rule in both[documents.LIFECYCLE.name]["Rules"]} == {"studio/", "other/"}
    assert len(both[documents.POLICY.name]["Statement"]) == 2
    assert [each["Resource"] for each in both[documents.POLICY.name]["Statement"]] == [
        ["arn:aws:s3:::media/studio/*"],
        ["arn:aws:s3:::media/other/*"],
    ]
    assert sorted(rule["Priority"] for rule in both[documents.REPLICATION.name]["Rules"]) == [1, 2]
    assert applied(replace(NOTHING, prefix="other/"), both) | {documents.TAGS.name: 0} == first | {
        documents.TAGS.name: 0
    }


def test_a_rule_that_is_wished_for_no_more_is_taken_away() -> None:
    """It bears our name; and where there is none, nothing is said of it."""
    steps = plan(rules_for(NOTHING), applied(EVERYTHING, EMPTY))
    assert {step.rule: step.outcome for step in steps} == dict.fromkeys(
        [
            "abort_uploads_after",
            "transition_after",
            "expire_after",
            "expire_versions_after",
            "cors_origins",
            "replicate_to",
            "notify_to",
            "tls_only",
        ],
        Outcome.PLANNED,
    )
    assert plan(rules_for(NOTHING), EMPTY) == []


def test_a_changed_wish_replaces_our_rule() -> None:
    """In its place, once."""
    state = applied(EVERYTHING, EMPTY)
    later = replace(EVERYTHING, transition_after=30, transition_class="STANDARD_IA")
    steps = [step for step in plan(rules_for(later), state) if step.outcome is Outcome.PLANNED]
    assert [step.rule for step in steps] == ["transition_after"]
    assert steps[0].after is not None
    (rule,) = [rule for rule in steps[0].after["Rules"] if "Transitions" in rule]
    assert rule["Transitions"] == [{"Days": 30, "StorageClass": "STANDARD_IA"}]


@pytest.mark.parametrize(
    "worded",
    [
        {"Prefix": "studio/", "Filter": {}},
        {"Filter": {"Prefix": "studio/"}, "Expiration": {}, "Transitions": []},
    ],
)
def test_a_servers_own_words_are_no_difference(worded: dict[str, Any]) -> None:
    """Where a server puts the prefix, and what it leaves empty, changes nothing."""
    rule = {
        "ID": own_name("abort_uploads_after", "studio/"),
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    found = EMPTY | {documents.LIFECYCLE.name: {"Rules": [rule | worded]}}
    (step,) = plan(rules_for(replace(NOTHING, abort_uploads_after=7)), found)
    assert step.outcome is Outcome.UNCHANGED
    (disabled,) = plan(
        rules_for(replace(NOTHING, abort_uploads_after=7)),
        EMPTY | {documents.LIFECYCLE.name: {"Rules": [rule | worded | {"Status": "Disabled"}]}},
    )
    assert disabled.outcome is Outcome.PLANNED


@pytest.mark.parametrize(
    ("wish", "found", "planned"),
    [
        ("AES256", {}, {"SSEAlgorithm": "AES256"}),
        ("AES256", {"SSEAlgorithm": "AES256"}, None),
        ("AES256", {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}, None),
        ("aws:kms", {"SSEAlgorithm": "AES256"}, {"SSEAlgorithm": "aws:kms"}),
        ("aws:kms", {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}, None),
        ("aws:kms:k", {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}, None),
        ("aws:kms:k", {"SSEAlgorithm": "aws:kms"}, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}),
        ("aws:kms:dsse", {"SSEAlgorithm": "AES256"}, {"SSEAlgorithm": "aws:kms:dsse"}),
    ],
)
def test_encryption_is_never_weakened(wish: str, found: dict[str, str], planned: dict[str, str] | None) -> None:
    """What KMS holds the key of is not given back to the store's own."""
    document = {"Rules": [{"ApplyServerSideEncryptionByDefault": found}]} if found else {}
    rule = rules_for(replace(NOTHING, encryption=wish))[0]
    amended = rule.amended(document)
    if planned is None:
        assert amended == document
    else:
        assert amended["Rules"][0]["ApplyServerSideEncryptionByDefault"] == planned


def test_what_there_can_be_only_one_of_stays_with_whom_it_is() -> None:
    """Another bucket for logs, another role for replication: told, not replaced."""
    rules = {rule.name: rule for rule in rules_for(EVERYTHING)}
    with pytest.raises(TakenError, match="elsewhere"):
        rules["log_bucket"].amended({"LoggingEnabled": {"TargetBucket": "elsewhere", "TargetPrefix": "x"}})
    with pytest.raises(TakenError, match="role/other"):
        rules["replicate_to"].amended({"Role": "arn:aws:iam::1:role/other", "Rules": [{"ID": "theirs"}]})
    entry = {"QueueArn": "q", "Events": ["s3:ObjectCreated:Put"], "Id": "theirs"}
    with pytest.raises(TakenError, match="q is told already"):
        rules["notify_to"].amended({"QueueConfigurations": [entry]})
    beside = {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "other/"}]}}
    told = rules["notify_to"].amended({"QueueConfigurations": [entry | {"Filter": beside}]})
    assert [each["Id"] for each in told["QueueConfigurations"]] == ["theirs", "tierd notify_to studio/"]
    told["QueueConfigurations"][1]["Filter"]["Key"]["FilterRules"][0]["Name"] = "Prefix"  # As S3 answers it.
    assert rules["notify_to"].amended(told) == told
    found = EMPTY | {documents.LOGGING.name: {"LoggingEnabled": {"TargetBucket": "elsewhere"}}}
    (step,) = [step for step in plan(rules_for(EVERYTHING), found) if step.rule == "log_bucket"]
    assert (step.outcome, step.after) == (Outcome.FAILED, None)


def test_what_cannot_be_read() -> None:
    """It is said of what is wished for, with the action that is wanting; of the rest nothing is."""
    found = EMPTY | {
        documents.LIFECYCLE.name: DeniedError("s3:GetLifecycleConfiguration"),
        documents.PUBLIC_ACCESS.name: NotSupportedError("NotImplemented"),
    }
    wishes = replace(NOTHING, block_public_access=True, abort_uploads_after=7)
    steps = {step.rule: step for step in plan(rules_for(wishes), found)}
    assert set(steps) == {"block_public_access", "abort_uploads_after"}
    assert steps["block_public_access"].outcome is Outcome.UNSUPPORTED
    assert steps["abort_uploads_after"].outcome is Outcome.DENIED
    assert steps["abort_uploads_after"].detail.startswith("s3:GetLifecycleConfiguration is not allowed")


def test_a_prefix_that_is_too_long_for_a_name() -> None:
    """S3 takes 255 bytes."""
    first, second = (own_name("transition_after", f"{'é' * 200}{end}/") for end in "ab")
    assert len(first) < 255
    assert first != second


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "My-media", "my_media", "-media", "media-", "a..b", "a.-b", "10.0.0.1", "xn--a", "a-s3alias"],
)
def test_names_that_s3_would_refuse(name: str) -> None:
    """Each is known before anybody is asked."""
    assert name_fault(name)


@pytest.mark.parametrize("name", ["abc", "a" * 63, "my-media.2026", "1media", "10.0.0.1.x"])
def test_names_that_s3_takes(name: str) -> None:
    """And these are fine."""
    assert not name_fault(name)


def test_the_smallest_policies() -> None:
    """Objects only below the prefix; what is looked at follows from what is wished; only a setup may write rules."""
    policy = daemon_policy(replace(NOTHING, versioning=True), kms_key="k")
    assert {each["Sid"]: (each["Action"], each["Resource"]) for each in policy["Statement"]} == {
        "TierdObjects": (
            [
                "s3:GetObject",
                "s3:PutObject",
                "s3:PutObjectTagging",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            ["arn:aws:s3:::media/studio/*"],
        ),
        "TierdBucket": (
            ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetBucketVersioning"],
            ["arn:aws:s3:::media"],
        ),
        "TierdKey": (["kms:GenerateDataKey", "kms:Decrypt"], ["arn:aws:kms:eu-central-1:*:key/k"]),
    }
    assert "s3:RestoreObject" in daemon_policy(replace(NOTHING, restores=True))["Statement"][0]["Action"]
    setup = setup_policy(EVERYTHING)
    assert {each["Sid"] for each in setup["Statement"]} == {
        "TierdObjects",
        "TierdBucket",
        "TierdSetup",
        "TierdReplication",
    }
    (writes,) = [each["Action"] for each in setup["Statement"] if each["Sid"] == "TierdSetup"]
    assert writes.count("s3:PutLifecycleConfiguration") == 1
    assert {"s3:CreateBucket", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"} <= set(writes)


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_partitions(region: str, partition: str) -> None:
    """China's and the government's names of resources begin otherwise."""
    assert replace(NOTHING, region=region).objects_name == f"arn:{partition}:s3:::media/studio/*"
