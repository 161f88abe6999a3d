"""What the documentation says exists, and what exists is in the documentation."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import tomllib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import typer
from pages import PAGES, PROJECT, codes, first_codes, prose, read, rows, sections
from samples import an_asset
from talking import BILL

from daemon import problem
from daemon.addresses import Addresses
from daemon.api import DESCRIPTION, ROUTES
from daemon.checks import CHECKS
from daemon.cli import build
from daemon.cli_options import Code
from daemon.client import Client
from daemon.examination import OUTSIDE
from daemon.metrics import Metrics
from daemon.reloading import RELOADABLE
from daemon.settings import Settings
from daemon.views import asset_view
from index.asset import ProofMethod
from index.lifecycle import State
from tiering import outcome, sender, store, tree
from tiering.answers import BrakeState, ColdTier, Disk, Queue, Status
from tiering.label import Label
from tiering.metadata import Passport
from tiering.probe import Capabilities
from tiering.source import NotYetError
from tiering.uploader import setback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daemon.route import Route

NEVER_RAISED = {outcome.TierError, store.StoreError, tree.FileError}
"""What only their subclasses are."""


# --- every page


def test_every_page_is_in_the_sites_contents() -> None:
    """And no other; `make site` would end there."""
    blocks = re.findall(r"```{toctree}\n(.*?)```", read("docs/index.md"), flags=re.DOTALL)
    named = [line for block in blocks for line in block.split("\n") if line and not line.startswith(":")]
    pages = {page.stem for page in (PROJECT / "docs").glob("*.md")} - {"index"}
    assert sorted(named) == sorted([*pages, "adr/*", "coming-from/*", "../ARCHITECTURE", "../CHANGELOG"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file, and a heading of it where it names one."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in map(slug, headings), target


def slug(heading: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_files_that_are_named_exist(page: Path) -> None:
    """A path into the sources is a path."""
    for code in codes(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"(daemon|tiering|index|tests|docs|demo)/[\w/.]*", code):
            assert (PROJECT / code).exists(), code


def test_every_promise_is_shown() -> None:
    """Each names tests, which are files of tests that are run."""
    promises = rows(read("docs/guarantees.md"), "promise")
    assert len(promises) > 10
    for promise, shown_by in promises:
        named = codes(shown_by)
        assert named, promise
        for name in named:
            assert re.fullmatch(r"tests/(torture/)?test_\w+\.py", name), name
            assert (PROJECT / name).is_file(), name


def test_every_page_is_reached_from_the_readme() -> None:
    """Nobody has to guess what there is."""
    linked = set(re.findall(r"\]\(([^)#]+)\)", read("README.md")))
    pages = {str(page.relative_to(PROJECT)) for page in PAGES if page.parent.name != "adr"}
    assert pages - {"README.md", "docs/index.md"} <= linked
    assert "docs/adr/" in linked


def test_make_targets_that_are_named_exist() -> None:
    """`make X` in any page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^    )make ([a-z]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE))
        assert named <= targets, page


def test_the_lifecycle_is_drawn_from_the_table() -> None:
    """docs/lifecycle.md is what docs/lifecycle.py writes: run it after a change of index/lifecycle.py."""
    assert read("docs/lifecycle.md") == script("docs/lifecycle.py").page()


def test_every_diagram_is_drawn() -> None:
    """For the site, from the text that it has now, and no other: `make diagrams` after a change of one."""
    draws = script("docs/diagrams.py")
    wanted = {draws.picture(text, scheme) for text in draws.diagrams() for scheme in draws.SCHEMES}
    assert wanted
    assert set((PROJECT / "docs" / "images").glob("diagram-*")) == wanted


def script(name: str) -> Any:
    """Return a script of the project as a module."""
    spec = importlib.util.spec_from_file_location(f"script_{name.replace('/', '_')}", PROJECT / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- commands


def every_command() -> dict[str, Any]:
    """Return the commands by their whole name."""
    group: Any = typer.main.get_command(build())
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= {f"tierd {name} {child}": each for child, each in command.commands.items()}
        else:
            found[f"tierd {name}"] = command
    return found


def options_of(command: Any) -> set[str]:
    """Return the options of a command, but for help."""
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts) if name.startswith("-")}
    return options - {"-h", "--help"}


def documented_options(text: str) -> set[str]:
    """Return the options in the table below a heading."""
    return {code.split()[0] for code in first_codes(text, "option")}


COMMAND_PAGE = sections("docs/commands.md")


def test_every_command_is_documented() -> None:
    """And no other."""
    assert {heading for heading in COMMAND_PAGE if heading.startswith("tierd ")} == set(every_command())


@pytest.mark.parametrize("name", every_command())
def test_every_option_is_documented(name: str) -> None:
    """And no other. A section may name the command whose options it has."""
    text = COMMAND_PAGE[name]
    shared = re.search(r"Options:\s+those\s+of\s+`(\w+)`", text)
    documented = documented_options(COMMAND_PAGE[f"tierd {shared[1]}"] if shared else text)
    assert documented == options_of(every_command()[name])


def test_global_options_and_exit_codes_are_documented() -> None:
    """And no others."""
    group: Any = typer.main.get_command(build())
    assert documented_options(COMMAND_PAGE["Global options"]) == options_of(group)
    assert first_codes(COMMAND_PAGE["Exit codes"]) == [str(code.value) for code in Code]


def test_the_command_lines_own_errors_are_documented() -> None:
    """Every code that a TierdError, or the command line's end, is given in these files."""
    given = {"refused", "config", "usage", "file"}
    for name in ("wire", "client", "cli_options", "cli_download", "cli_layout", "cli_simulate", "cli_upload"):
        for call in calls(PROJECT / "daemon" / f"{name}.py", {"TierdError", "__init__"}):
            if len(call.args) > 1 and isinstance(call.args[0], ast.Constant):
                given.add(call.args[0].value)
    assert set(first_codes(COMMAND_PAGE["Error codes"])) == given


def test_differences_are_documented() -> None:
    """Every kind of difference that a verification can find; and none that its file does not name."""
    files = [PROJECT / "tiering" / name for name in ("verifier.py", "strays.py")]
    texts = {
        node.value for file in files for node in ast.walk(ast.parse(file.read_text())) if type(node) is ast.Constant
    }
    given = [
        keyword.value
        for file in files
        for call in calls(file, {"Difference"})
        for keyword in call.keywords
        if keyword.arg == "kind"
    ]
    documented = set(first_codes(COMMAND_PAGE["tierd verify"], "difference"))
    assert {kind.value for kind in given if isinstance(kind, ast.Constant)} <= documented <= texts


def test_every_check_of_the_doctor_is_documented() -> None:
    """In order, with its number."""
    documented = [(row[0], codes(row[1])[0]) for row in rows(COMMAND_PAGE["tierd doctor"], "number")]
    names = [name for name, _ in (*OUTSIDE, *CHECKS)]
    assert documented == [(str(number), name) for number, name in enumerate(names, 1)]


def calls(file: Path, names: set[str]) -> Iterator[ast.Call]:
    """Yield the calls of these names in a file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and (getattr(node.func, "id", "") or getattr(node.func, "attr", "")) in names:
            yield node


# --- configuration


CONFIGURATION = {
    heading.strip("[]"): rows(text) for heading, text in sections("docs/configuration.md").items() if heading[0] == "["
}


def values_in(column: int) -> dict[str, dict[str, object]]:
    """Return what a column of the tables says, as TOML has it; what is unset is left out."""
    return {
        table: {
            codes(row[0])[0]: tomllib.loads(f"value = {codes(row[column])[0]}")["value"]
            for row in lines
            if row[column] != "unset"
        }
        for table, lines in CONFIGURATION.items()
    }


def test_every_key_is_documented() -> None:
    """In the order of the code, and no other."""
    documented = {table: [codes(row[0])[0] for row in lines] for table, lines in CONFIGURATION.items()}
    assert documented == {table: list(model.model_fields) for table, model in Settings.tables().items()}


def test_documented_defaults_are_the_defaults(tmp_path: Path) -> None:
    """Written into a file, they change nothing."""
    assert Settings.model_validate(values_in(1), context=tmp_path) == Settings.model_validate({}, context=tmp_path)
    documented = {(table, key) for table, values in values_in(1).items() for key in values}
    defaults = Settings.model_validate({}, context=tmp_path).model_dump()
    assert documented == {(table, key) for table, keys in defaults.items() for key in keys if keys[key] is not None}


def test_documented_examples_are_accepted(tmp_path: Path) -> None:
    """Each can be written into a file as it stands."""
    Settings.model_validate(values_in(2), context=tmp_path)


def test_what_can_be_reloaded_is_marked() -> None:
    """↻ stands at exactly the keys that SIGHUP takes over."""
    marked = {f"{table}.{codes(row[0])[0]}" for table, lines in CONFIGURATION.items() for row in lines if "↻" in row[3]}
    assert marked == RELOADABLE


# --- HTTP


REQUEST_PAGE = sections("docs/http.md", "###")
EVERY_ROUTE = {f"{route.method} {route.template}": route for route in (*ROUTES, DESCRIPTION)}


def test_every_request_is_documented() -> None:
    """And no other."""
    assert {heading for heading in REQUEST_PAGE if heading.isprintable()} == set(EVERY_ROUTE)


@pytest.mark.parametrize("name", EVERY_ROUTE)
def test_every_parameter_is_documented(name: str) -> None:
    """Those of the query, those of the body, and the right that is needed."""
    route, text = EVERY_ROUTE[name], REQUEST_PAGE[name]
    assert set(first_codes(text, "query")) == query_parameters(route)
    shared = re.search(r"Body:\s+that\s+of\s+`(\w+)`", text)
    body = first_codes(REQUEST_PAGE[f"POST /v1/{shared[1]}"], "body") if shared else []
    assert {*body, *first_codes(text, "body")} == set(route.body.model_fields if route.body else ())
    right = route.right.name.lower()
    assert text.strip().startswith("No right needed." if right == "none" else f"Right: {right}.")


def query_parameters(route: Route) -> set[str]:
    """Return the names of a query's parameters."""
    families = {"fields": "field.NAME", "tags": "tag.NAME"}
    return {families.get(name, name) for name in route.query.model_fields}


def test_every_field_of_an_asset_is_documented() -> None:
    """And no other."""
    documented = first_codes(REQUEST_PAGE["GET /v1/assets/{path}"], "field")
    assert set(documented) == set(asset_view(an_asset(), Addresses("memory://")))


def test_requests_in_examples_exist() -> None:
    """Every curl in any page is a request that is answered, and says where the socket is."""
    found = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^ {4}(?:\$ )?(curl .+)$", text, flags=re.MULTILINE):
            found += 1
            method = re.search(r"-X (\w+)", line)
            target = re.search(r"http://tierd(/[^\s'?]*)", line)
            assert "--unix-socket" in line
            assert target is not None, line
            assert any(answers(route, method[1] if method else "GET", target[1]) for route in EVERY_ROUTE.values()), (
                line
            )
    assert found


def answers(route: Route, method: str, target: str) -> bool:
    """Whether a request is for this route."""
    pattern = re.escape(route.template.partition("{")[0]) + (".+" if route.parameter else "")
    return route.method == method and re.fullmatch(pattern, target) is not None


def test_every_error_is_documented() -> None:
    """Each pair of status and code that can be answered, and no other."""
    documented = [(int(row[0]), codes(row[1])[0]) for row in rows(sections("docs/http.md")["Errors"])]
    assert len(documented) == len(set(documented))
    assert set(documented) == {*raised_errors(), *translated_errors()}
    assert all(status in list(HTTPStatus) for status, _ in documented)


def raised_errors() -> Iterator[tuple[int, str]]:
    """Yield what the API answers by itself."""
    for file in (PROJECT / "daemon").glob("*.py"):
        for call in calls(file, {"ApiError"}):
            status, code = call.args[:2]
            if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                yield int(str(status.value)), str(code.value)


def translated_errors() -> Iterator[tuple[int, str]]:
    """Yield what exceptions of the core become. What only an upload meets, nobody is answered."""
    kinds = {kind for row in problem._ROWS for kind in (row.kind, *subclasses(row.kind))}
    for kind in kinds - NEVER_RAISED - {sender.ForeignObjectError}:
        if kind.__module__.startswith(("tiering.", "index.")):
            row = next(row for row in problem._ROWS if issubclass(kind, row.kind))
            yield row.status, getattr(kind, "code", row.code)


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    """Yield all that are of this kind."""
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_failure_is_documented() -> None:
    """Each code that an asset's failure can have, found by having each error happen to one."""
    path = "a.jpg"
    errors: list[Exception] = [
        *(kind("why") for kind in subclasses(store.StoreError) if kind.__module__.startswith("tiering.")),
        tree.MissingError(path, "why"),
        tree.UnreadableError(path, "why"),
        tree.NotRegularError(path, "why"),
        NotYetError("why", after=None),
        OSError(5, "why"),
        LookupError("why"),
    ]
    found = [setback(an_asset(), error, now=0.0)[1].failure for error in errors]
    documented = first_codes(sections("docs/http.md")["Failures"])
    assert set(documented) == {*named_failures(), *(failure.code for failure in found if failure is not None)}


def named_failures() -> Iterator[str]:
    """Yield the codes that movers give by name."""
    for file in (PROJECT / "tiering").glob("*.py"):
        for call in calls(file, {"Failure"}):
            if isinstance(call.args[0], ast.Constant):
                yield str(call.args[0].value)


# --- metrics


def every_metric() -> dict[str, tuple[str, dict[str, list[str]]]]:
    """Return type and labels of each metric of ours, from what is scraped."""
    metrics = Metrics(version="1")
    metrics.watch(
        lambda: Status(
            assets={}, bytes={}, queue=Queue(), brake=BrakeState(),
            disk=Disk(total=1, free=1, used=0, limit=1, high=1.0, low=1.0), store=ColdTier(url="", reachable=True),
        )
    )  # fmt: skip
    metrics.charge(lambda: BILL)
    text = metrics.render().decode()
    kinds = dict(re.findall(r"^# TYPE (tierd_\w+) (\w+)$", text, flags=re.MULTILINE))
    return {name: (kind, labels_of(text, name)) for name, kind in kinds.items()}


def labels_of(text: str, metric: str) -> dict[str, list[str]]:
    """Return the values of each label of a metric, in the order of their appearance."""
    found: dict[str, list[str]] = {}
    for labels in re.findall(rf"^{metric}(?:_bucket)?{{(.*)}} ", text, flags=re.MULTILINE):
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            if label != "le" and value not in found.setdefault(label, []):
                found[label].append(value)
    return found


METRICS_PAGE = read("docs/metrics.md")


def test_every_metric_is_documented() -> None:
    """With its type, its labels and all their values; and no other."""
    documented = {}
    for row in rows(METRICS_PAGE, "metric"):
        labels: dict[str, list[str]] = {}
        for part in row[2].split(";"):
            name, *values = codes(part) or [""]
            if ":" in part:
                labels[name] = values
            elif name:
                labels |= {each: [] for each in (name, *values)}
        documented[codes(row[0])[0]] = (row[1], labels)
    real = every_metric()
    # What runs has labels without end of its own.
    kind, labels = real["tierd_build_info"]
    real["tierd_build_info"] = (kind, {label: [] for label in sorted(labels, reverse=True)})
    assert documented == real


def test_metrics_that_are_named_exist() -> None:
    """In alerts too."""
    for page in PAGES:
        named = set(re.findall(r"\btierd_[a-z_]+", page.read_text(encoding="utf-8")))
        assert named - {"tierd_"} <= set(every_metric()), page


def test_states_are_documented() -> None:
    """Labels of states are all of them, in order."""
    assert every_metric()["tierd_assets"][1]["state"] == list(State)


# --- the client, and the stores


def test_every_method_of_the_client_is_documented() -> None:
    """With its parameters and their defaults; and no other."""
    public = {name: each for name, each in vars(Client).items() if callable(each) and not name.startswith("_")}
    assert first_codes(read("docs/client.md"), "method") == [f"{name}{bare(each)}" for name, each in public.items()]


def bare(function: Any) -> str:
    """Return a signature without annotations, and without self."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    return str(inspect.Signature(plain)).replace("'", '"')


def test_what_a_store_shows_is_documented() -> None:
    """Every capability, every way to prove, and all that travels with an object."""
    page = sections("docs/stores.md")
    assert first_codes(page["Probe"]) == list(Capabilities.__dataclass_fields__)
    assert set(first_codes(page["Proof"])) == set(ProofMethod)
    passport = Passport(an_asset().id, 1, an_asset().path, "0" * 64, 0, 0o644, replaces="1" * 64, host="2" * 32)
    label = Label("type", {"name": "value"}, {"name": "value"})
    assert first_codes(page["Objects"]) == [*passport.to_metadata(), *label.to_metadata()]
