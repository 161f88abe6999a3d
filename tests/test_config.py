"""The configuration: every row of its table, and everything that is refused, with what is said."""

from __future__ import annotations

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from daemon import config, sources
from daemon.config import ConfigError, Settings
from daemon.fields import Address
from daemon.units import format_duration, format_size, human_size, parse_duration, parse_size

SHIPPED = Path(__file__).parent.parent / "config.toml"

TABLE = {
    "cache": {
        "root": "{base}/media",
        "size_limit": None,
        "high_watermark": 0.90,
        "low_watermark": 0.80,
        "ignore": [".*", "*.part", "*.tmp", "*.tierd.json", "lost+found"],
    },
    "index": {"path": "{base}/var/index.db"},
    "store": {
        "url": "file://{base}/var/cold",
        "mode": "s3",
        "percent": None,
        "provider": None,
        "endpoint": None,
        "region": None,
        "profile": None,
        "addressing_style": None,
        "storage_class": None,
        "class_rules": [],
        "encryption": None,
        "restore": None,
        "restore_days": 7,
        "look_every": "1h",
        "events_queue": None,
    },
    "cdn": {
        "distribution": None,
        "invalidate": [],
        "public_url": None,
        "key_pair": None,
        "key_file": None,
        "signed_for": "1d",
    },
    "bucket": {
        "versioning": True,
        "encryption": "AES256",
        "block_public_access": True,
        "abort_uploads_after": "1w",
        "transition_after": "90d",
        "transition_class": "GLACIER_IR",
        "expire_after": "0s",
        "expire_versions_after": "0s",
        "cors_origins": [],
        "log_bucket": None,
        "tags": [],
        "accelerate": False,
        "replicate_to": None,
        "replication_role": None,
        "notify_to": None,
        "tls_only": False,
    },
    "layout": {"name": "mirror", "rules": None},
    "metadata": {"rules": None},
    "tiering": {
        "policy": "heat",
        "preset": "balanced",
        "admission": "off",
        "rules": [],
        "cold_after": "30d",
        "cool_down": "10m",
        "min_residence": "10m",
        "interval": "1m",
    },
    "retention": {"rules": [], "grace": "1w"},
    "upload": {
        "concurrency": 32,
        "part_size": "16 MiB",
        "multipart_above": "64 MiB",
        "bandwidth": None,
        "settle": "2s",
    },
    "api": {
        "socket": "{base}/var/tierd.sock",
        "mode": "0660",
        "group": None,
        "read": None,
        "write": None,
        "admin": None,
        "presign": None,
        "presign_longest": "1d",
    },
    "metrics": {"listen": "127.0.0.1:9469"},
    "ui": {"listen": ""},
    "prices": {
        "standard": 0.023,
        "intelligent_tiering": 0.023,
        "standard_ia": 0.0125,
        "onezone_ia": 0.01,
        "glacier_ir": 0.004,
        "glacier": 0.0036,
        "deep_archive": 0.00099,
        "put": 0.005,
        "get": 0.0004,
        "egress": 0.09,
        "disk": 0.08,
    },
    "log": {"level": "info", "format": "auto"},
}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a cache root in it, and we in there."""
    (tmp_path / "media").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(base: Path, text: str = "", **environ: str) -> Settings:
    """Load a configuration file of this text."""
    file = base / "tierd.toml"
    file.write_text(text)
    return config.load(file, environ)


def refusals(base: Path, text: str = "", **environ: str) -> list[str]:
    """Return what is said about a configuration that is refused."""
    with pytest.raises(ConfigError) as caught:
        load(base, text, **environ)
    return [str(problem).replace(str(base), "BASE") for problem in caught.value.problems]


def expected(base: Path) -> dict[str, dict[str, object]]:
    """Return the contract's table for files in `base`."""
    return {
        name: {key: value.format(base=base) if isinstance(value, str) else value for key, value in section.items()}
        for name, section in TABLE.items()
    }


# Defaults


def test_defaults_are_the_contract(base: Path) -> None:
    """Without a file, every key has the contract's default, and there are no other keys."""
    assert config.load(None, {}).model_dump(mode="json") == expected(base)


def test_shipped_file_says_the_defaults(base: Path) -> None:
    """config.toml as it is shipped changes nothing, and says every default that there is."""
    shipped = SHIPPED.read_text()
    assert load(base, shipped).model_dump(mode="json") == expected(base)
    said = tomllib.loads(shipped)
    for name, section in expected(base).items():
        assert said[name].keys() == {key for key, value in section.items() if value is not None}


def test_shipped_file_explains_every_key() -> None:
    """What has no default stands in config.toml as a comment that becomes valid when the # goes."""
    text = SHIPPED.read_text().replace("\n#", "\n")
    for name, section in TABLE.items():
        for key in section.keys() - {"rules"}:
            assert f"\n{key} = " in text, f"[{name}] {key}"


def test_values_are_typed(base: Path) -> None:
    """Below the configuration travel paths, bytes, time deltas and addresses, never text to be parsed again."""
    settings = load(base, '[cache]\nsize_limit = "140 GiB"\n[api]\nmode = "0600"')
    assert settings.cache.root == base / "media"
    assert settings.cache.size_limit == 140 * 1024**3
    assert settings.tiering.cold_after == timedelta(days=30)
    assert settings.upload.part_size == 16 * 1024**2
    assert settings.api.mode == 0o600
    assert settings.metrics.listen == Address("127.0.0.1", 9469)
    assert settings.store.directory == base / "var/cold"


def test_settings_are_frozen(base: Path) -> None:
    """Nobody changes a setting behind another's back."""
    settings = load(base)
    with pytest.raises(ValueError, match="frozen"):
        settings.cache.root = base  # type: ignore[misc]


# Where it comes from


def test_search_order(base: Path) -> None:
    """--config, then $TIERD_CONFIG, then ./config.toml, then the file below /etc."""
    for name in ("named.toml", "variable.toml", "config.toml"):
        (base / name).write_text("")
    environ = {"TIERD_CONFIG": "variable.toml"}
    assert sources.find_file(Path("named.toml"), environ) == Path("named.toml")
    assert sources.find_file(None, environ) == Path("variable.toml")
    assert sources.find_file(None, {}) == Path("config.toml")
    assert sources.SEARCHED[-1] == Path("/etc/tierd/config.toml")


@pytest.mark.parametrize("name", ["missing.toml", "media"])
def test_a_named_file_must_be_there(base: Path, name: str) -> None:
    """A file that was asked for is never silently left out."""
    with pytest.raises(ConfigError, match=r"--config must name") as caught:
        config.load(Path(name), {})
    assert name in str(caught.value)
    with pytest.raises(ConfigError, match=r"TIERD_CONFIG must name"):
        config.load(None, {"TIERD_CONFIG": name})


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"[cache\n", "line 1"), (b"a = 1\nb = = 2\n", "line 2"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_file_that_is_not_toml(base: Path, content: bytes, said: str) -> None:
    """A syntax error names the file and the line."""
    (base / "config.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        config.load(None, {})
    assert caught.value.problems[0].where == "config.toml"


def test_relative_paths_start_from_the_file(base: Path) -> None:
    """Not from where the daemon was started; also inside file: URLs."""
    (base / "etc/media").mkdir(parents=True)
    (base / "etc/c.toml").write_text('[store]\nurl = "file:../cold"')
    settings = config.load(Path("etc/c.toml"), {})
    assert settings.cache.root == base / "etc/media"
    assert settings.store.url == f"file://{base}/cold"
    assert settings.api.socket == base / "etc/var/tierd.sock"


def private_pem() -> bytes:
    """Return a key, such as CloudFront trusts."""
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_every_key_can_be_overridden(base: Path) -> None:
    """The environment wins over the file, whatever the type of the key."""
    user = "root"
    (base / "cloudfront.pem").write_bytes(private_pem())
    given = {
        "TIERD_CACHE__ROOT": str(base),
        "TIERD_CACHE__SIZE_LIMIT": "1.5 GB",
        "TIERD_CACHE__HIGH_WATERMARK": "0.5",
        "TIERD_CACHE__LOW_WATERMARK": "0.25",
        "TIERD_CACHE__IGNORE": "*.bak, *.swp",
        "TIERD_INDEX__PATH": "/index.db",
        "TIERD_STORE__URL": "s3://bucket/a/b/",
        "TIERD_STORE__MODE": "hybrid",
        "TIERD_STORE__PERCENT": "12.5",
        "TIERD_STORE__PROVIDER": "minio",
        "TIERD_STORE__ENDPOINT": "http://127.0.0.1:8333/",
        "TIERD_STORE__REGION": "123",
        "TIERD_STORE__PROFILE": "p",
        "TIERD_STORE__ADDRESSING_STYLE": "path",
        "TIERD_STORE__STORAGE_CLASS": "STANDARD_IA",
        "TIERD_STORE__CLASS_RULES": "STANDARD type=product,GLACIER_IR above=1GiB",
        "TIERD_STORE__ENCRYPTION": "AES256",
        "TIERD_STORE__RESTORE": "Bulk",
        "TIERD_STORE__RESTORE_DAYS": "3",
        "TIERD_UI__LISTEN": "[::1]:9470",
        "TIERD_STORE__LOOK_EVERY": "2h",
        "TIERD_STORE__EVENTS_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/q",
        "TIERD_CDN__DISTRIBUTION": "E1",
        "TIERD_CDN__INVALIDATE": "posters/,shots/*",
        "TIERD_CDN__PUBLIC_URL": "https://media.example.com",
        "TIERD_CDN__KEY_PAIR": "K1",
        "TIERD_CDN__KEY_FILE": "cloudfront.pem",
        "TIERD_CDN__SIGNED_FOR": "2h",
        "TIERD_BUCKET__VERSIONING": "True",
        "TIERD_BUCKET__ENCRYPTION": "none",
        "TIERD_BUCKET__BLOCK_PUBLIC_ACCESS": "false",
        "TIERD_BUCKET__ABORT_UPLOADS_AFTER": "0",
        "TIERD_BUCKET__TRANSITION_AFTER": "5w",
        "TIERD_BUCKET__TRANSITION_CLASS": "STANDARD_IA",
        "TIERD_BUCKET__EXPIRE_AFTER": "900d",
        "TIERD_BUCKET__EXPIRE_VERSIONS_AFTER": "48h",
        "TIERD_BUCKET__CORS_ORIGINS": "https://a.example,http://localhost:8000",
        "TIERD_BUCKET__LOG_BUCKET": "logs",
        "TIERD_BUCKET__TAGS": "a=1,b=",
        "TIERD_BUCKET__ACCELERATE": "false",
        "TIERD_BUCKET__REPLICATE_TO": "copy",
        "TIERD_BUCKET__REPLICATION_ROLE": "role",
        "TIERD_BUCKET__NOTIFY_TO": "arn:aws:sns:eu-central-1:123456789012:media",
        "TIERD_BUCKET__TLS_ONLY": "false",
        "TIERD_LAYOUT__NAME": "mirror",
        "TIERD_METADATA__RULES": '[{"type": "plate", "path": "{show}/{file}"}]',
        "TIERD_TIERING__POLICY": "age",
        "TIERD_TIERING__PRESET": "bytes",
        "TIERD_TIERING__ADMISSION": "off",
        "TIERD_TIERING__RULES": "type=master never demote,campaign=xmas hot until 2027-01-07",
        "TIERD_TIERING__COLD_AFTER": "0",
        "TIERD_TIERING__COOL_DOWN": "500ms",
        "TIERD_TIERING__MIN_RESIDENCE": "2h",
        "TIERD_TIERING__INTERVAL": "5s",
        "TIERD_RETENTION__RULES": "tag.legal=hold keep,type=artifact expire after 90d",
        "TIERD_RETENTION__GRACE": "30d",
        "TIERD_UPLOAD__CONCURRENCY": "4",
        "TIERD_UPLOAD__PART_SIZE": "5 MiB",
        "TIERD_UPLOAD__MULTIPART_ABOVE": "256 MiB",
        "TIERD_UPLOAD__BANDWIDTH": "20 MiB",
        "TIERD_UPLOAD__SETTLE": "1s",
        "TIERD_API__SOCKET": "s",
        "TIERD_API__MODE": "0600",
        "TIERD_API__GROUP": "0",
        "TIERD_API__READ": f"{user},@0",
        "TIERD_API__WRITE": user,
        "TIERD_API__ADMIN": user,
        "TIERD_API__PRESIGN": user,
        "TIERD_API__PRESIGN_LONGEST": "15m",
        "TIERD_METRICS__LISTEN": "[::1]:0",
        **{sources.variable_name("prices", key): "0.5" for key in TABLE["prices"]},
        "TIERD_LOG__LEVEL": "debug",
        "TIERD_LOG__FORMAT": "json",
    }
    keys = {sources.variable_name(name, key) for name, section in TABLE.items() for key in section}
    assert given.keys() == keys - {"TIERD_LAYOUT__RULES"}
    dumped = load(base, **given).model_dump(mode="json")
    assert dumped["cache"] == {
        "root": str(base),
        "size_limit": "1500000000 B",
        "high_watermark": 0.5,
        "low_watermark": 0.25,
        "ignore": ["*.bak", "*.swp"],
    }
    assert dumped["store"]["url"] == "s3://bucket/a/b"
    assert dumped["store"]["endpoint"] == "http://127.0.0.1:8333"
    assert dumped["store"]["region"] == "123"
    assert dumped["metadata"]["rules"] == [{"type": "plate", "path": "{show}/{file}", "fields": {}}]
    assert dumped["bucket"]["versioning"] is True
    assert dumped["prices"] == dict.fromkeys(TABLE["prices"], 0.5)
    assert dumped["bucket"]["transition_after"] == "5w"
    assert dumped["bucket"]["tags"] == ["a=1", "b="]
    assert dumped["tiering"]["cold_after"] == "0s"
    assert dumped["upload"]["concurrency"] == 4
    assert dumped["api"]["read"] == ["root", "@0"]
    assert dumped["metrics"]["listen"] == "[::1]:0"
    assert dumped["ui"]["listen"] == "[::1]:9470"


def test_an_override_of_the_url_discards_the_provider(base: Path) -> None:
    """The file's provider was said of the file's URL; one from the environment is meant."""
    text = '[store]\nurl = "s3://bucket"\nprovider = "minio"\nendpoint = "http://127.0.0.1:9000"'
    assert load(base, text).store.provider == "minio"
    assert load(base, text, TIERD_STORE__URL="memory://").store.provider is None
    environ = {"TIERD_STORE__URL": "s3://other", "TIERD_STORE__PROVIDER": "oci"}
    assert load(base, text, **environ).store.provider == "oci"


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("file:./var/cold", "local"),
        ("memory://", "local"),
        ("s3://bucket/prefix", "aws"),
        ("s3://bucket", "oci"),
        ("s3://bucket", "minio"),
        ("s3://bucket", "custom"),
        ("gs://bucket/prefix", "gcp"),
        ("az://container/prefix", "azure"),
    ],
)
def test_providers(base: Path, url: str, provider: str) -> None:
    """Each serves the URLs of its kind; one that is not Amazon says where it is."""
    endpoint = '\nendpoint = "https://objects.example"' if provider in {"oci", "minio", "custom"} else ""
    loaded = load(base, f'[store]\nurl = "{url}"\nprovider = "{provider}"{endpoint}')
    assert loaded.store.provider == provider


def test_clients_find_the_socket_without_judging_the_rest(base: Path) -> None:
    """A client needs one path, and a mistake elsewhere does not keep it from the daemon."""
    (base / "config.toml").write_text('[api]\nsocket = "run/s"\n[cache]\nrot = 1')
    assert sources.find_socket(None, {}) == base / "run/s"
    assert sources.find_socket(None, {"TIERD_API__SOCKET": "/x/../s"}) == Path("/s")
    (base / "config.toml").unlink()
    assert sources.find_socket(None, {}) == base / "var/tierd.sock"


# What is refused


def test_no_such_key(base: Path) -> None:
    """An unknown key or table is refused, with the one that was probably meant."""
    assert refusals(base, "[cache]\nrot = 1\n[stor]\nxyz = 1\n[store]\nqqqq = 1") == [
        "BASE/tierd.toml: cache.rot: unknown key; did you mean root?",
        f"BASE/tierd.toml: store.qqqq: unknown key; known are {', '.join(TABLE['store'])}",
        "BASE/tierd.toml: stor: unknown table; did you mean store?",
    ]


def test_no_such_variable(base: Path) -> None:
    """A TIERD_ variable that overrides nothing is a mistake, not nobody's business."""
    assert refusals(base, TIERD_STORE_URL="s3://x", PATH="/") == [
        "TIERD_STORE_URL: no key has this variable; did you mean TIERD_STORE__URL?"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cache = 1", "cache: is 1; should be a table: [cache]"),
        ("[cache]\nroot = 1", "cache.root: is 1; should be a path"),
        ('[cache]\nroot = ""', "cache.root: is ''; should be a path"),
        ("[cache]\nsize_limit = 0", "cache.size_limit: is 0; should be greater than 0"),
        (
            '[cache]\nsize_limit = "140 Gib"',
            "cache.size_limit: is '140 Gib'; should be a number with B, KiB, MiB, GiB or TiB, as in '140 GiB'",
        ),
        ('[cache]\nhigh_watermark = "0.9"', "cache.high_watermark: is '0.9'; should be a valid number"),
        ("[cache]\nhigh_watermark = 1.1", "cache.high_watermark: is 1.1; should be less than or equal to 1"),
        ("[cache]\nlow_watermark = 0", "cache.low_watermark: is 0; should be greater than 0"),
        (
            '[cache]\nignore = "*.x"',
            "cache.ignore: is '*.x'; should be a list of names, as in ['a', 'b'] (in the environment: a,b)",
        ),
        (
            '[layout]\nname = "flat"',
            "layout.name: is 'flat'; should be 'mirror', 'creative', 'episodic', 'dated' or 'temporal'",
        ),
        ('[layout]\nrules = ["x"]', "layout.rules: is ['x']; should be a list of tables"),
        (
            '[layout]\nrules = [{type = "a", key = "{file}/x"}]',
            "layout.rules: is [{'type': 'a', 'key': '{file}/x'}]; should make a layout: {file}/x: {file} must",
        ),
        (
            '[layout]\nrules = [{type = "a", key = "{b}"}, {type = "c", key = "c"}]',
            "layout.rules: is [{'type': 'a', 'key': '{b}'}, {'type': 'c', 'key': 'c'}]; should make a layout: c and",
        ),
        (
            '[metadata]\nrules = [{type = "media", path = "{file}", fields = {md5 = ""}}]',
            "metadata.rules: is [{'type': 'media', 'path': '{file}', 'fields': {'md5': ''}}]; should parse paths: md5",
        ),
        ('[layout]\nrules = [{type = "a"}]', "layout.rules.0.key: is {'type': 'a'}; Field required"),
        (
            '[layout]\nrules = [{type = "a", key = "a/{file}", path = "b"}]',
            "layout.rules.0.path: unknown key; leave it out",
        ),
        (
            '[layout]\nname = "creative"\nrules = [{type = "a", key = "a/{file}"}]',
            "layout.rules: there are own rules, and the layout is 'creative'; leave out name",
        ),
        ('[tiering]\npolicy = "lfu"', "tiering.policy: is 'lfu'; should be 'heat', 'lru' or 'age'"),
        (
            "[tiering]\ncold_after = 30",
            "tiering.cold_after: is 30; should be a whole number with ms, s, m, h, d or w, as in '30d'",
        ),
        ('[tiering]\ninterval = "0s"', "tiering.interval: is '0s'; should be at least 1s and at most 1d"),
        (
            '[retention]\nrules = ["artifact expire after 90d"]',
            "retention.rules: is ['artifact expire after 90d']; should be rules as in 'type=artifact field.kind=thumbn",
        ),
        ("[upload]\nconcurrency = true", "upload.concurrency: is True; should be a valid integer"),
        ('[upload]\nconcurrency = "32"', "upload.concurrency: is '32'; should be a valid integer"),
        ("[upload]\nconcurrency = 0", "upload.concurrency: is 0; should be greater than or equal to 1"),
        (
            '[upload]\npart_size = "4 MiB"',
            "upload.part_size: is '4 MiB'; should be at least 5 MiB and at most 256 MiB",
        ),
        (
            '[upload]\nmultipart_above = "257 MiB"',
            "upload.multipart_above: is '257 MiB'; should be at least 1 B and at most 256 MiB",
        ),
        ('[api]\nmode = "rw"', "api.mode: is 'rw'; should be permission bits in octal, as in '0660'"),
        (
            '[api]\ngroup = "no-such"',
            "api.group: there is no group 'no-such'; name a group of this host",
        ),
        (
            '[api]\nwrite = ["@no-such"]',
            "api.write: there is no '@no-such' on this host; name users, and groups as '@group'",
        ),
        (
            '[metrics]\nlisten = "9469"',
            "metrics.listen: is '9469'; should be HOST:PORT, as in '127.0.0.1:9469', or '' for nowhere",
        ),
        (
            '[ui]\nlisten = "0.0.0.0:9470"',
            "ui.listen: is '0.0.0.0:9470'; should be an address of this host alone, as in '127.0.0.1:9470', or ''",
        ),
        (
            '[ui]\nlisten = "127.0.0.1:9469"',
            'ui.listen: both are 127.0.0.1:9469; give one of them another port, or "" for nowhere',
        ),
        ('[log]\nlevel = "loud"', "log.level: is 'loud'; should be 'debug', 'info', 'warning' or 'error'"),
        ('[store]\nprovider = "ibm"', "store.provider: is 'ibm'; should be 'aws', 'oci', 'minio', 'gcp', "),
        (
            '[store]\nurl = "gs://bucket"\nprovider = "aws"',
            "store.provider: 'aws' does not serve gs: URLs (gs://bucket); leave provider out, it follows",
        ),
        (
            '[store]\nurl = "s3://bucket"\nprovider = "azure"',
            "store.provider: 'azure' does not serve s3: URLs (s3://bucket)",
        ),
        (
            '[store]\nurl = "s3://bucket"\nprovider = "minio"',
            "store.provider: 'minio' has no endpoint of its own, and without one it would be Amazon's",
        ),
        (
            '[store]\nurl = "s3://bucket"\nprovider = "aws"\nendpoint = "http://127.0.0.1:9000"',
            "store.provider: http://127.0.0.1:9000 is not Amazon's; set provider = 'custom', or leave the endpoint out",
        ),
        (
            '[store]\nurl = "az://container"\nregion = "eu-central-1"',
            "store.region: only s3:// stores have it (az://container); leave it out",
        ),
        (
            '[store]\nurl = "gs://bucket"\nstorage_class = "GLACIER"',
            "store.storage_class: gs:// stores have no class GLACIER; choose of STANDARD, NEARLINE, COLDLINE, ARCHIVE",
        ),
        (
            '[store]\nurl = "az://container"\nclass_rules = ["ARCHIVE above=1GiB"]',
            "store.class_rules: az:// stores have no class ARCHIVE; choose of HOT, COOL, COLD",
        ),
        (
            '[store]\nprovider = "aws"',
            "store.provider: 'aws' does not serve file: URLs (file://BASE/var/cold); leave provider out, it follows",
        ),
        (
            '[store]\nevents_queue = "arn:aws:sqs:eu-central-1:1:q"',
            "store.events_queue: is 'arn:aws:sqs:eu-central-1:1:q'; should be the URL of a queue, as in https://sqs.",
        ),
        (
            '[store]\nevents_queue = "https://sqs.eu-central-1.amazonaws.com/1/q"',
            "store.events_queue: only a bucket sends notifications, and the store is file://BASE/var/cold; leave",
        ),
        (
            '[cdn]\npublic_url = "media.example.com"',
            "cdn.public_url: is 'media.example.com'; should be a URL without a query, as in https://media.example.com",
        ),
        (
            '[store]\nurl = "s3://bucket"\n[cdn]\ninvalidate = ["posters/"]',
            "cdn.distribution: one is set, and the other is not: nothing would be invalidated; name the distribution",
        ),
        (
            '[cdn]\ndistribution = "E1"\ninvalidate = ["posters/"]',
            "cdn.distribution: CloudFront reads from a bucket, and the store is file://BASE/var/cold; leave",
        ),
        (
            '[cdn]\npublic_url = "https://a.example"\nkey_pair = "K1"',
            "cdn.key_pair: one is set, and the other is not: no URL can be signed; set the id",
        ),
        (
            '[cdn]\npublic_url = "https://a.example"\nkey_pair = "K1"\nkey_file = "no.pem"',
            "cdn.key_file: the key BASE/no.pem cannot be read: No such file or directory; name the private",
        ),
        (
            '[cdn]\nkey_pair = "K1"\nkey_file = "c.toml"',
            "cdn.key_pair: there are no URLs to sign; set public_url to what CloudFront's viewers ask for",
        ),
        (
            '[bucket]\nnotify_to = "media"',
            "bucket.notify_to: is 'media'; should be the ARN of a queue or a topic, as in arn:aws:sqs:eu-central-1:",
        ),
        ('[store]\nclass_rules = ["video"]', "store.class_rules: is ['video']; should be a list of rules, as in ["),
        (
            '[store]\nclass_rules = ["GLACIER above=1GiB"]',
            "store.class_rules: what is stored in GLACIER cannot be read before it is restored, and nothing asks for",
        ),
        ('[bucket]\nexpire_after = "36h"', "bucket.expire_after: is '36h'; should be whole days, as in '90d', or 0"),
        ('[bucket]\ntags = ["team"]', "bucket.tags: is ['team']; should be a list of NAME=VALUE, as in ['team=media']"),
        (
            '[bucket]\ncors_origins = ["app.example"]',
            "bucket.cors_origins: is ['app.example']; should be a list of origins, as in ['https://app.example']",
        ),
        (
            '[bucket]\ntransition_after = "7d"\ntransition_class = "STANDARD_IA"',
            "bucket.transition_after: STANDARD_IA takes nothing that is younger than 30 days; wait for 30d at least",
        ),
        (
            '[bucket]\nexpire_after = "60d"',
            "bucket.transition_after: objects are deleted after 60 days, before they would move; expire later",
        ),
        (
            '[bucket]\nreplicate_to = "copy"',
            "bucket.replicate_to: replication needs versioning and a role; set versioning = true and replication_role",
        ),
        ('[store]\nregion = ""', "store.region: is ''; should have at least 1 character"),
        ('[store]\nendpoint = "host:1"', "store.endpoint: is 'host:1'; should be http://HOST:PORT or https://HOST"),
    ],
)
def test_wrong_values(base: Path, text: str, said: str) -> None:
    """Each is refused with the file, the key, what it is, and what it should be."""
    (problem,) = refusals(base, text)
    assert problem.startswith(f"BASE/tierd.toml: {said}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gs://", "should be gs://BUCKET/PREFIX, with the name of a bucket"),
        ("gs://Bucket", "with the name of a bucket"),
        ("az://Container", "should be az://CONTAINER/PREFIX, with the name of a container"),
        ("az://a--b", "with the name of a container"),
        ("ftp://x", "should be file:PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or memory://"),
        ("s3://", "with the name of a bucket"),
        ("s3://b/a//c", "without '//'"),
        ("s3://b/a/../c", "without '//', '.' and '..'"),
        ("s3://b?x=1", "nothing after the prefix"),
        ("file:", "should name a directory"),
        ("file://var/cold", "would be the name of a host"),
        ("memory://x", "should be file:PATH"),
    ],
)
def test_urls_that_name_no_store(base: Path, url: str, said: str) -> None:
    """A URL that could be misunderstood is refused."""
    (problem,) = refusals(base, TIERD_STORE__URL=url)
    assert problem.startswith(f"TIERD_STORE__URL: store.url: is '{url}'; ")
    assert said in problem


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:./var/cold", "BASE/var/cold"),
        ("file:var/cold", "BASE/var/cold"),
        ("file://./var/cold", "BASE/var/cold"),
        ("file://../cold", "BASE/../cold"),
        ("file:/srv/cold", "/srv/cold"),
        ("file:///srv/a%20b/", "/srv/a%20b"),
    ],
)
def test_file_urls(base: Path, url: str, path: str) -> None:
    """Every way to write a path in a file: URL means the same path, as it stands."""
    found = load(base, TIERD_STORE__URL=url).store.directory
    assert found == Path(os.path.normpath(path.replace("BASE", str(base))))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[store]\naccess_key_id = "AKIAXXXX"', "store.access_key_id"),
        ('[store]\nsecret = "AKIAXXXX"', "store.secret"),
        ('aws_secret_access_key = "AKIAXXXX"', "aws_secret_access_key"),
        ('[store]\nendpoint = "http://me:AKIAXXXX@host"', "store.endpoint"),
        ('[store]\nurl = "s3://me:AKIAXXXX@bucket"', "store.url"),
    ],
)
def test_credentials_are_never_in_the_file(base: Path, text: str, key: str) -> None:
    """What looks like one is refused, with where it belongs, and is not repeated."""
    (problem,) = refusals(base, text)
    assert problem.startswith(f"BASE/tierd.toml: {key}: ")
    assert "standard AWS chain" in problem
    assert "AKIAXXXX" not in problem


def test_credentials_are_never_in_our_variables(base: Path) -> None:
    """Neither are they ours in the environment."""
    (problem,) = refusals(base, TIERD_STORE__SECRET_ACCESS_KEY="AKIAXXXX")
    assert problem.startswith("TIERD_STORE__SECRET_ACCESS_KEY: looks like a credential; ")
    assert "AKIAXXXX" not in problem


@pytest.mark.parametrize(("low", "high"), [(0.9, 0.9), (0.95, 0.9)])
def test_watermarks_in_the_wrong_order(base: Path, low: float, high: float) -> None:
    """Low must be below high."""
    (problem,) = refusals(base, f"[cache]\nlow_watermark = {low}\nhigh_watermark = {high}")
    assert problem.startswith(f"BASE/tierd.toml: cache.low_watermark: {low} is not below high_watermark ({high}); ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[index]\npath = "media/i.db"', "index.path: BASE/media/i.db lies inside the cache root (BASE/media)"),
        ('[index]\npath = "link/i.db"', "index.path: BASE/link/i.db lies inside the cache root (BASE/media)"),
        ('[index]\npath = "x/../media/i.db"', "index.path: BASE/media/i.db lies inside the cache root"),
        ('[store]\nurl = "file:media/c"', "store.url: BASE/media/c lies inside the cache root (BASE/media)"),
        ('[store]\nurl = "file:media"', "store.url: BASE/media lies inside the cache root (BASE/media)"),
        ('[store]\nurl = "file:link"', "store.url: BASE/link lies inside the cache root (BASE/media)"),
        ('[index]\npath = "var/cold/i.db"', "index.path: BASE/var/cold/i.db lies inside the store (BASE/var/cold)"),
    ],
)
def test_places_inside_each_other(base: Path, text: str, said: str) -> None:
    """Root, index and store keep apart, whatever names lead there."""
    (base / "link").symlink_to("media")
    (problem,) = refusals(base, text)
    assert problem.startswith(f"BASE/tierd.toml: {said}")


def test_root_inside_the_store(base: Path) -> None:
    """A store that contains the cache root would list assets as objects."""
    text = '[store]\nurl = "file:."\n[index]\npath = "/elsewhere/i.db"'
    (problem,) = refusals(base, text)
    assert problem.startswith("BASE/tierd.toml: cache.root: BASE/media lies inside the store (BASE)")


def test_neighbours_are_not_inside(base: Path) -> None:
    """A name that begins like another is another."""
    load(base, '[index]\npath = "media-index/i.db"\n[store]\nurl = "file:media-cold"')


def test_socket_path_too_long(base: Path) -> None:
    """107 bytes fit, 108 do not: bytes, not characters."""
    load(base, f'[api]\nsocket = "/{"s" * 106}"')
    (problem,) = refusals(base, f'[api]\nsocket = "/{"s" * 105}é"')
    assert "is 108 bytes long; a socket's path has at most 107 bytes" in problem


def test_root_missing(base: Path) -> None:
    """A root that is not there is never made: the disk may not be mounted."""
    (problem,) = refusals(base, '[cache]\nroot = "nowhere"')
    assert problem == (
        "BASE/tierd.toml: cache.root: BASE/nowhere does not exist; mount the disk, or make the directory: "
        "mkdir -p BASE/nowhere"
    )
    assert not (base / "nowhere").exists()


def test_root_is_a_file(base: Path) -> None:
    """A root must be a directory."""
    (base / "file").touch()
    (problem,) = refusals(base, TIERD_CACHE__ROOT="file")
    assert problem.startswith("TIERD_CACHE__ROOT: cache.root: BASE/file is not a directory")


def test_root_not_writable(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that we may not write to is refused before anything starts; access() says no here, root may write all."""
    monkeypatch.setattr(os, "access", lambda path, mode: path != base / "media" or mode & os.W_OK == 0)
    (problem,) = refusals(base)
    assert problem.startswith("BASE/tierd.toml: cache.root: BASE/media is not writable; let the user ")


def test_a_store_that_cannot_be_made(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that the first start cannot make a store is refused; a later one waits for its disk."""
    (base / "file").touch()
    for place, there in (("file", "file"), ("file/cold", "file"), ("link", "link")):
        (base / "link").unlink(missing_ok=True)
        (base / "link").symlink_to(base / "nowhere")
        (problem,) = refusals(base, f'[store]\nurl = "file:{place}"')
        assert problem.startswith(f"BASE/tierd.toml: store.url: BASE/{there} is not a directory; ")
    monkeypatch.setattr(os, "access", lambda path, mode: path != base / "made" or mode & os.W_OK == 0)
    (base / "made").mkdir()
    for place in ("made", "made/later/cold"):
        (problem,) = refusals(base, f'[store]\nurl = "file:{place}"')
        assert problem.startswith("BASE/tierd.toml: store.url: BASE/made is not writable; let the user ")
    (base / "var").mkdir(exist_ok=True)
    (base / "var" / "index.db").touch()
    load(base, '[store]\nurl = "file:made/later/cold"')


@pytest.mark.parametrize("key", ["index.path", "api.socket"])
def test_what_the_daemon_makes_can_be_made(base: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A place that is a directory, lies beneath a file, or may not be written to is refused before anything starts."""
    section, _, name = key.partition(".")
    (base / "made").mkdir()
    (base / "file").touch()
    (problem,) = refusals(base, f'[{section}]\n{name} = "made"')
    assert problem.startswith(f"BASE/tierd.toml: {key}: BASE/made is a directory; ")
    (problem,) = refusals(base, f'[{section}]\n{name} = "file/x"')
    assert problem.startswith(f"BASE/tierd.toml: {key}: BASE/file is not a directory; ")
    load(base, f'[{section}]\n{name} = "made/later/x"')
    monkeypatch.setattr(os, "access", lambda path, mode: path != base / "made" or mode & os.W_OK == 0)
    (problem,) = refusals(base, f'[{section}]\n{name} = "made/later/x"')
    assert problem.startswith(f"BASE/tierd.toml: {key}: BASE/made is not writable; let the user ")


@pytest.fixture
def aws_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only AWS configuration there is: it has one profile."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "aws"
    file.write_text("[profile studio]\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return file


BUCKET = '[store]\nurl = "s3://bucket"\n'


@pytest.mark.usefixtures("aws_file")
def test_no_such_profile(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that the AWS configuration has not is refused, whoever names it; another store does not mind."""
    load(base, BUCKET + 'profile = "studio"')
    (problem,) = refusals(base, BUCKET + 'profile = "studoi"')
    assert problem.startswith("BASE/tierd.toml: store.profile: The config profile (studoi) could not be found; ")
    monkeypatch.setenv("AWS_PROFILE", "studoi")
    (problem,) = refusals(base, BUCKET)
    assert "AWS_PROFILE" in problem
    load(base)


def test_an_aws_configuration_that_cannot_be_read(base: Path, aws_file: Path) -> None:
    """It is refused with the file's name, and what it says is not repeated: it may hold credentials."""
    aws_file.write_text("[default]\naws_secret_access_key CANARY")
    (problem,) = refusals(base, BUCKET)
    assert str(aws_file).replace(str(base), "BASE") in problem
    assert "CANARY" not in problem


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("", "NO_CERTIFICATE"), ("x", "NO_CERTIFICATE")])
@pytest.mark.usefixtures("aws_file")
def test_authorities_that_cannot_be_read(
    base: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, said: str
) -> None:
    """A file of certificates that is not there, or has none, is refused before anything starts."""
    file = base / "authorities.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    (problem,) = refusals(base, BUCKET)
    assert "BASE/authorities.pem cannot be read: " in problem
    assert said in problem


def test_admission_needs_heat(base: Path) -> None:
    """Other policies have nothing to compare."""
    (problem,) = refusals(base, '[tiering]\npolicy = "lru"\nadmission = "cut"')
    assert problem.startswith("BASE/tierd.toml: tiering.admission: 'cut' compares heat, and policy is 'lru'; ")


def test_a_roll_out_says_how_far(base: Path) -> None:
    """`hybrid` alone says nothing; a percentage that waits for `hybrid` does no harm."""
    (problem,) = refusals(base, '[store]\nmode = "hybrid"')
    assert problem.startswith("BASE/tierd.toml: store.mode: it is 'hybrid', and nothing says how many assets")
    (problem,) = refusals(base, '[store]\nmode = "hybrid"\npercent = 101')
    assert problem == "BASE/tierd.toml: store.percent: is 101; should be less than or equal to 100"
    assert load(base, '[store]\nmode = "local"\npercent = 25').store.percent == 25


def test_rules_are_understood_and_do_not_contradict_each_other(base: Path) -> None:
    """A rule that is none is shown with what would be right; of two that cannot both hold, both are named."""
    (problem,) = refusals(base, '[tiering]\nrules = ["campaign=xmas warm"]')
    assert "tiering.rules: is ['campaign=xmas warm']; should be rules as in " in problem
    (problem,) = refusals(base, '[tiering]\nrules = ["x=a hot", "tag.x=a prefer cold"]')
    assert "'x=a hot' and 'tag.x=a prefer cold' are about the same assets and cannot both hold" in problem


def test_all_problems_at_once(base: Path) -> None:
    """One run says everything; a contradiction with a value that is wrong itself is not made up."""
    text = '[cache]\nroot = "nowhere"\nhigh_watermark = "x"\nlow_watermark = 0.95\n[log]\nlevel = "loud"'
    assert [problem.partition(";")[0] for problem in refusals(base, text, TIERD_X="1")] == [
        "TIERD_X: no key has this variable",
        "BASE/tierd.toml: cache.high_watermark: is 'x'",
        "BASE/tierd.toml: log.level: is 'loud'",
        "BASE/tierd.toml: cache.root: BASE/nowhere does not exist",
    ]


# Units


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(weeks=5000)))
def test_durations_survive_being_written(duration: timedelta) -> None:
    """What is written is read as the same, to the millisecond."""
    rounded = duration // timedelta(milliseconds=1) * timedelta(milliseconds=1)
    assert parse_duration(format_duration(rounded)) == rounded


@given(st.integers(min_value=0, max_value=2**60))
def test_sizes_survive_being_written(size: int) -> None:
    """What is written is read as the same, to the byte."""
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["?", "5", "d", "1.5d", "-1s", "1 day", "1e3s", "9" * 15 + "w", "\u0661s"])
def test_no_durations(text: str) -> None:
    """Anything but a whole number and a unit is refused, also what would overflow."""
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0 B", 0),
        ("1kB", 1000),
        ("1 KiB", 1024),
        ("1.5 GiB", 1_610_612_736),
        ("2 TB", 2 * 10**12),
        (" 3 MiB ", 3 << 20),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Binary units count by 1024, decimal ones by 1000."""
    assert parse_size(text) == size


def test_sizes_for_people() -> None:
    """About how much it is, in the unit that fits."""
    sizes = (0, 1023, 1024, 1536 * 1024, 5 << 40)
    assert [human_size(size) for size in sizes] == ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 TiB"]
