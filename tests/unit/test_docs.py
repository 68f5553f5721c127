"""The documentation names every setting, command, route and signal, and its examples work."""

from __future__ import annotations

import ast
import collections.abc as cabc
import dataclasses
import datetime as dt
import fnmatch
import functools
import json
import pathlib
import pkgutil
import re
import typing as t

import blinker
import click
import flask_sqlalchemy
import pytest

from flask_woo_events import Event, Flask, WooEvents, signals
from flask_woo_events.cli import cli
from flask_woo_events.db.states import EventType
from flask_woo_events.delivery.payload import Sender, build_body
from flask_woo_events.events import changes
from flask_woo_events.events.notifications import EventRecord, NotificationRecord
from flask_woo_events.instances.polled_resources import DatesConfiguration, PollerBlock
from flask_woo_events.instances.requests import DEFINITIONS
from flask_woo_events.settings import PREFIX, Settings, read_settings
from flask_woo_events.simulation.store import faults
from flask_woo_events.simulation.store.store_side import StoreSide
from flask_woo_events.values.cloud_elements import Format
from flask_woo_events.values.crypto import sign_body
from tests.unit.test_architecture import PACKAGE, STEPS

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = sorted(ROOT.joinpath("docs").glob("*.md"))
READMES = [ROOT / folder / "README.md" for folder in (".", "example_app", "wp-plugin-stub")]
PAGES = [*READMES, ROOT / "CHANGES.md", ROOT / "CONTRIBUTING.md", *DOCS]
#: Pages that name files of the package; others name files of a reader's own project.
CODE_PAGES = [
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs" / f"{one}.md" for one in ("architecture", "security")),
]
#: Terms that the glossary defines for all pages.
TERMS = (
    "attempt", "baseline", "delivery", "event", "journal", "ledger", "notification", "poll",
    "subscription", "webhook",
)  # fmt: skip

_FENCE = re.compile(r"^```(?P<language>[a-z]*)[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^()\s]+)\)")
_UNCLEAR = re.compile(
    r"\b(?:told|tells|telling|looked\s+after|put\s+right|besides|whoever|shall)\b", re.IGNORECASE
)
_HEADING = re.compile(r"^#+ +(?P<title>.+)$", re.MULTILINE)
#: A file and something that it defines: ``sync/recorder.py``: ``PollRecorder.record``.
_DEFINED = re.compile(r"`(?P<file>[\w/]+\.py)`:\s+`(?P<name>[\w.]+)`")


def _text(name: str) -> str:
    return ROOT.joinpath("docs", name).read_text(encoding="utf-8")


def _fences(page: pathlib.Path) -> list[tuple[str, str]]:
    return _FENCE.findall(page.read_text(encoding="utf-8"))


def _name(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


def _row(text: str, key: str) -> list[str]:
    """Return the cells of the table row that begins with a key."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if f"`{key}`" in cells[0].split(", "):
            return cells
    raise AssertionError(f"no table has a row for {key}")


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_configuration_names_every_setting(field: dataclasses.Field[object]) -> None:
    """Each setting has a row with its default value."""
    default = _row(_text("configuration.md"), PREFIX + field.name.upper())[1]
    shown = ", ".join(field.default) if isinstance(field.default, tuple) else field.default
    assert default == ("none" if shown in (None, "") else f"`{shown}`")


def test_configuration_names_only_settings() -> None:
    """No page names a setting that does not exist."""
    fields = {field.name for field in dataclasses.fields(Settings)}
    for page in PAGES:
        for name in re.findall(rf"{PREFIX}([A-Z_]*[A-Z])", page.read_text(encoding="utf-8")):
            assert name.lower() in fields, f"{_name(page)} names {PREFIX}{name}"


def _commands(
    command: click.Command, path: tuple[str, ...]
) -> cabc.Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            one = command.get_command(context, name)
            assert one is not None
            yield from _commands(one, (*path, name))
    else:
        yield " ".join(path), command


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*one, id=one[0]) for one in _commands(cli, ("flask woo",))]
)
def test_command_line_names_every_command(words: str, command: click.Command) -> None:
    """Each command is described with its usage, options and arguments."""
    page = _text("command-line.md")
    begin = re.search(rf"^`{re.escape(words)}(?=[ `])", page, re.MULTILINE)
    assert begin, f"{words} is not in command-line.md"
    rest = page[begin.end() :]
    end = re.search(r"^`flask woo ", rest, re.MULTILINE)
    section = rest[: end.start()] if end else rest
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[0] in section, f"{words} {parameter.opts[0]}"
        else:
            assert parameter.human_readable_name.upper() in section, f"{words} {parameter.name}"


def test_http_api_names_every_route(tmp_path: pathlib.Path) -> None:
    """Each path and method of the API is in the reference."""
    app = Flask("docs", instance_path=str(tmp_path))
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    flask_sqlalchemy.SQLAlchemy().init_app(app)
    before = {rule.rule for rule in app.url_map.iter_rules()}
    app.register_extension(WooEvents())
    page = _text("http-api.md")
    prefix = read_settings({}).url_prefix
    missing = []
    for rule in app.url_map.iter_rules():
        if rule.rule in before or rule.endpoint.endswith("._unknown"):
            continue
        path = re.sub(r"<(?:[^:<>]*:)?([^<>]+)>", r"{\1}", rule.rule.removeprefix(prefix))
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            if f"`{method} {path}`" not in page:
                missing.append(f"{method} {path}")
    assert not missing, f"http-api.md lacks {', '.join(missing)}"


def test_http_api_names_every_configuration_key() -> None:
    """Each known configuration key of an instance has a row."""
    page = _text("http-api.md")
    for key in DEFINITIONS:
        _row(page, key)


def test_polling_names_every_poller_parameter() -> None:
    """Each member of ``event.poller.configuration`` is explained."""
    page = _text("polling.md")
    for model in (PollerBlock, DatesConfiguration):
        for name, field in model.model_fields.items():
            assert f"`{field.alias or _first_alias(field) or name}`" in page, name


def _first_alias(field: object) -> str:
    choices = getattr(field, "validation_alias", None)
    return str(choices.choices[0]) if choices is not None else ""


@pytest.mark.parity(35)
def test_delivery_shows_the_real_envelope() -> None:
    """The example of a callback's body equals the body that is sent."""
    example = json.loads(_json_of_delivery()[0])
    message, [event_json] = example["message"], example["message"]["events"]
    record = {**message["raw"]["orders"][0]}
    poll_date = dt.datetime.fromisoformat(event_json["pollDate"])
    event_record = EventRecord(
        id=1,
        object_id=record.pop("objectId"),
        event_type=EventType(record.pop("eventType")),
        version=3,
        date=dt.datetime.fromisoformat(event_json["date"]),
        body=json.dumps(record).encode(),
        changed_fields=("date_modified_gmt", "status"),
    )
    notification = NotificationRecord(
        id=int(example["id"]),
        event_id=message["eventId"],
        instance_id=message["instanceId"],
        resource=message["raw"]["objectType"],
        poll_date=poll_date,
        created_at=poll_date,
        events=(event_record,),
    )
    sender = Sender(
        instance_id=message["instanceId"],
        name=message["instanceName"],
        tags=tuple(message["instanceTags"]),
        account_id=message["accountId"],
        company_id=message["companyId"],
        user_id=message["userId"],
        format=Format.CLOUD_ELEMENTS,
    )
    assert json.loads(build_body(notification, sender)) == example


def _json_of_delivery() -> list[str]:
    return [code for kind, code in _fences(ROOT / "docs" / "delivery.md") if kind == "json"]


def test_delivery_shows_real_changes() -> None:
    """The example of changes is what the difference of two such orders is."""
    example = json.loads(_json_of_delivery()[1])
    added = example["meta_data[_tracking]"]["after"]
    line = {"id": 12, "name": "Mug", "quantity": 1}
    before = {"id": 7, "status": "processing", "line_items": [line], "meta_data": []}
    changed = {"status": "completed", "line_items": [line | {"quantity": 3}], "meta_data": [added]}
    assert changes.between(before, before | changed).values == example


def test_delivery_shows_a_handler_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    """The handler of the page on changes reads an event with changes, and one without."""
    code = next(
        code
        for language, code in _fences(ROOT / "docs" / "delivery.md")
        if language == "python" and "event.changes" in code
    )
    namespace: dict[str, t.Any] = {}
    exec(code, namespace)
    event = Event(
        id=1, instance_id=1, instance_name="shop", instance_tags=(), resource="orders",
        object_id="7", type="UPDATED", version=2, date=dt.datetime.now(dt.UTC), body={},
        names=("order.status_changed",),
    )  # fmt: skip
    namespace["ship"](event)
    values = {"status": {"before": "processing", "after": "completed"}}
    namespace["ship"](dataclasses.replace(event, changes=values))
    assert capsys.readouterr().out == "7 completed\n"


def test_delivery_names_every_change() -> None:
    """Each derived name has a row on the page."""
    for name in changes.NAMES:
        _row(_text("delivery.md"), name)


def test_delivery_shows_a_receiver_that_works() -> None:
    """The example receiver accepts the documented signature and ours, and no other."""
    page = _text("delivery.md")
    namespace: dict[str, t.Any] = {}
    receiver = next(
        code
        for language, code in _fences(ROOT / "docs" / "delivery.md")
        if language == "python" and "is_genuine" in code
    )
    exec(receiver, namespace)
    is_genuine = namespace["is_genuine"]
    found = re.search(r"the key `(?P<key>\w+)` and the body\n`(?P<body>[^`]+)`", page)
    golden = re.search(r"^sha256=.+$", page, re.MULTILINE)
    assert found is not None and golden is not None
    body = found["body"].encode()
    assert is_genuine(body, found["key"], golden[0])
    assert is_genuine(body, "another", sign_body(body, "another"))
    assert not is_genuine(body, "another", golden[0])
    assert not is_genuine(body, found["key"], None)


def test_testing_names_every_action_and_fault() -> None:
    """The page on testing names each action and fault of the simulated store."""
    page = _text("testing.md")
    actions = [name for name in vars(StoreSide) if not name.startswith("_")]
    for name in actions:
        assert f"`{name}(" in page, name
    for kind in t.get_args(faults.Kind):
        assert f"`{kind}`" in page, kind


def test_every_signal_is_named() -> None:
    """Each signal is named in a page."""
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS)
    for name, value in vars(signals).items():
        if isinstance(value, blinker.Signal):
            assert f"`{name}`" in pages, name


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_resolve(page: pathlib.Path) -> None:
    """Relative links point to existing files and headings."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _hash, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_file(), f"{_name(page)} links to {target}"
        if anchor:
            titles = _HEADING.findall(_FENCE.sub("", file.read_text(encoding="utf-8")))
            assert anchor in {_slug(title) for title in titles}, f"{_name(page)} links to {target}"


def _slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_code_is_valid(page: pathlib.Path) -> None:
    """Python examples compile, and JSON examples can be parsed."""
    for language, code in _fences(page):
        if language == "python":
            compile(code, _name(page), "exec")
        elif language == "json":
            json.loads(code)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_imports_of_the_package_work(page: pathlib.Path) -> None:
    """Python examples import only names that the package has."""
    for language, code in _fences(page):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
                for name in node.names:
                    assert _is_importable(f"{node.module}.{name.name}"), name.name


def test_index_lists_every_page() -> None:
    """Each page is in a table of contents of the index."""
    entries = set(_text("index.md").splitlines())
    for page in DOCS:
        assert page.stem == "index" or page.stem in entries, page.name


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_pages_are_plain(page: pathlib.Path) -> None:
    """A page has no exclamation marks in prose, and no trailing spaces."""
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"`[^`\n]*`|<[^>]*>", "", _FENCE.sub("", text))
    assert "!" not in prose.replace("![", "[")
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_numbers_begin_no_list(page: pathlib.Path) -> None:
    """A sentence that ends with a number does not turn the next lines into a list."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    numbers = [int(number) for number in re.findall(r"^ *(\d+)\. ", prose, re.MULTILINE)]
    assert [number for number in numbers if number > 12] == []


@pytest.mark.parametrize("term", TERMS)
def test_glossary_defines_a_term_once(term: str) -> None:
    """The glossary has one definition of each central term."""
    assert len(re.findall(rf"^{term}\n: ", _text("glossary.md"), re.MULTILINE)) == 1


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_pages_use_the_terms_of_the_field(page: pathlib.Path) -> None:
    """A page uses none of the words that the field does not use for events and repairs."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    assert _UNCLEAR.findall(prose) == []


def test_pages_name_modules_that_exist() -> None:
    """Modules and files that a page names exist, so a move updates the pages."""
    missing = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"\bflask_woo_events(?:\.[A-Za-z_]\w*)+", text):
            if not _is_importable(name):
                missing.append(f"{_name(page)} names {name}")
    for page in CODE_PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`([\w./-]+(?:\.py|\.md|/[\w-]+))`", text):
            folders = (PACKAGE, ROOT, ROOT / "tests" / "security")
            if not name.startswith("/") and not any((one / name).exists() for one in folders):
                missing.append(f"{_name(page)} names {name}")
    assert not missing


def test_every_threat_has_tests_that_exist() -> None:
    """Each row of the tables of threats names tests, and all files of security tests are named."""
    threats = _text("security.md").partition("## Threats\n")[2].partition("\n## ")[0]
    rows = [line for line in threats.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith(("| Threat |", "| :---"))]
    assert len(rows) >= 50
    named = set()
    for row in rows:
        _, threat, mitigation, tests, _ = row.split("|")
        found = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert threat.strip() and mitigation.strip() and found, row
        assert len(found) == tests.count("`") / 2, row
        for file, name in found:
            named.add(file)
            tree = ast.parse(ROOT.joinpath("tests", file).read_text(encoding="utf-8"))
            functions = [one.name for one in tree.body if isinstance(one, ast.FunctionDef)]
            assert name in functions, f"{file} has no {name}"
    files = {f"security/{one.name}" for one in ROOT.glob("tests/security/test_*.py")}
    assert files <= named


@pytest.mark.parametrize("page", CODE_PAGES, ids=_name)
def test_pages_name_definitions_that_exist(page: pathlib.Path) -> None:
    """A function, class or constant that a page names with its file is defined there."""
    found = _DEFINED.findall(page.read_text(encoding="utf-8"))
    assert [f"{file}: {name}" for file, name in found if name not in _definitions(file)] == []


@functools.cache
def _definitions(file: str) -> frozenset[str]:
    """Return what a file of the package defines at its top, and in its classes."""
    found: set[str] = set()
    tree = ast.parse(PACKAGE.joinpath(file).read_text(encoding="utf-8"))
    for node in tree.body:
        found.update(_names_of(node))
        if isinstance(node, ast.ClassDef):
            found.update(f"{node.name}.{name}" for one in node.body for name in _names_of(one))
    return frozenset(found)


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [one.id for one in targets if isinstance(one, ast.Name)]


def _section(page: str, title: str) -> str:
    """Return what follows a heading of the second level, up to the next one."""
    [section] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", _text(page), re.MULTILINE | re.DOTALL)
    return str(section)


def test_walks_have_at_most_ten_hops() -> None:
    """Each walk is a list of hops, and each hop begins with a file and a function."""
    walks = re.split(r"^### .+\n", _section("architecture.md", "Walks"), flags=re.MULTILINE)
    assert len(walks) == 1 + 5
    for walk in walks[1:]:
        hops = re.findall(r"^(\d+)\. +(.*)$", walk, re.MULTILINE)
        assert [int(number) for number, _ in hops] == list(range(1, len(hops) + 1))
        assert 2 <= len(hops) <= 10
        assert [hop for _, hop in hops if not _DEFINED.match(hop)] == []


def test_picture_shows_the_rooms_in_their_order() -> None:
    """The picture of the rooms has the order that imports follow, with the ground below."""
    section = _section("architecture.md", "Rooms")
    [picture] = [code for language, code in _FENCE.findall(section) if language == "text"]
    lines = re.findall(r"^│ *(.+?) *│", picture, re.MULTILINE)
    shown = [set(line.split(", ")) for line in lines]
    assert shown[::-1] == [set(step.split()) for step in STEPS.split("\n") if step]
    charters = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert charters == [room for line in lines for room in line.split(", ")]


def test_contributing_names_targets_of_make() -> None:
    """Each ``make`` command in the page has a target."""
    page = ROOT.joinpath("CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", ROOT.joinpath("Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)`", page)) - set(targets) == set()


def _is_importable(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_the_present_version_of_the_tables(page: pathlib.Path) -> None:
    """Outputs that are quoted name the last migration."""
    migrations = ROOT / "flask_woo_events" / "db" / "migrations" / "versions"
    head = max(one.name[:4] for one in migrations.glob("0*.py"))
    shown = re.findall(r"tables (?:are )?at version (\d{4})", page.read_text("utf-8"))
    assert set(shown) <= {head}


def test_no_environment_is_part_of_the_repository() -> None:
    """What make installs and writes is ignored, also under a name of its own."""
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    patterns = [line.rstrip("/") for line in lines]
    for made in (".venv", ".venv-sqlalchemy20", ".peers", "instance", ".hypothesis"):
        assert any(fnmatch.fnmatch(made, one) for one in patterns), made
