"""Dumped databases of earlier migrations, and their stores as they were at the dump."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import email.utils
import http.server
import json
import pathlib
import sqlite3
import threading
import typing as t
import urllib.parse

import orjson
import pymysql.constants.CLIENT
import sqlalchemy as sa

DATA = pathlib.Path(__file__).parent.parent / "data" / "frozen"
Row = dict[str, t.Any]
#: Parameters without an effect here: credentials and the store's cache.
IGNORED_PARAMETERS = {"_", "consumer_key", "consumer_secret", "_skip_cache"}
COLLECTIONS = {"orders", "products", "coupons", "customers"}
SUPPORTED_PARAMETERS = {
    "orderby", "order", "per_page", "page", "offset", "include", "status", "include_status",
    "modified_after", "dates_are_gmt", "role", "code", "_fields",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FrozenDatabase:
    """A dump, and the facts about it that are not in its tables."""

    revision: str
    #: The encryption key of its secrets.
    key: str
    #: When it was made.
    date: dt.datetime
    #: The secrets of users and their organizations, by user name.
    users: dict[str, tuple[str, str]]
    #: Ids of instances, by name.
    instances: dict[str, int]
    #: Tokens of instances, by name.
    tokens: dict[str, str]

    @classmethod
    def read(cls, revision: str) -> t.Self:
        """Read the facts about the dump of a revision."""
        data = json.loads(DATA.joinpath(f"{revision}.json").read_text())
        data["date"] = dt.datetime.fromisoformat(data["date"])
        return cls(revision=revision, **data)

    def stores(self) -> dict[str, FrozenStore]:
        """Create the stores as they were at the dump, by name."""
        data = json.loads(DATA.joinpath(f"{self.revision}-stores.json").read_text())
        return {name: FrozenStore(bodies, self.date) for name, bodies in data.items()}

    def load(self, url: str, hosts: cabc.Mapping[str, str]) -> None:
        """Execute the dump for this kind of database.

        :param url: of an empty database.
        :param hosts: replacements of the hosts of stores and callbacks.
        """
        kind = sa.make_url(url).get_backend_name().replace("mysql", "mariadb")
        text = DATA.joinpath(f"{self.revision}-{kind}.sql").read_text(encoding="utf-8")
        for name, host in hosts.items():
            assert name in text
            text = text.replace(name, host)
        _LOADERS[kind](url, text)


def _load_sqlite(url: str, text: str) -> None:
    with contextlib.closing(sqlite3.connect(str(sa.make_url(url).database))) as connection:
        connection.executescript(text)


def _load_on_server(url: str, text: str, **options: t.Any) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, connect_args=options)
    # The driver's own connection lets the server split the statements.
    with contextlib.closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(text)
        while cursor.nextset():
            pass
        connection.commit()


def _load_mariadb(url: str, text: str) -> None:
    _load_on_server(url, text, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)


_LOADERS: dict[str, cabc.Callable[[str, str], None]] = {
    "sqlite": _load_sqlite,
    "postgresql": _load_on_server,
    "mariadb": _load_mariadb,
}


class FrozenStore:
    """Serves recorded bodies of a store, by the rules of WooCommerce's lists.

    It refuses unknown parameters, so that a new way to read a store fails the tests.

    :param bodies: lists of objects, and complete responses, by path.
    :param date: the store's clock, which changes only by assignment.
    """

    def __init__(self, bodies: dict[str, t.Any], date: dt.datetime) -> None:
        self._bodies = bodies
        self.date = date

    def objects(self) -> list[Row]:
        """Return all objects of the collections."""
        return [row for name in sorted(COLLECTIONS) for row in self._bodies[name]]

    def change(self, path: str, object_id: int, **fields: t.Any) -> None:
        """Change fields of an object at the store's current time."""
        now = self.date.replace(tzinfo=None).isoformat(timespec="seconds")
        row = self._find(path, object_id)
        assert row is not None
        row |= {"date_modified": now, "date_modified_gmt": now, **fields}

    def answer(self, target: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body for one request."""
        parts = urllib.parse.urlsplit(target)
        params = {
            name: value
            for name, value in urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
            if name not in IGNORED_PARAMETERS and not name.startswith("oauth_")
        }
        headers = {"Date": email.utils.format_datetime(self.date, usegmt=True)}
        path = parts.path.removeprefix("/wp-json/wc/v3/")
        collection, _slash, number = path.partition("/")
        if parts.path == "/wp-json/":
            body: object = {"namespaces": ["wc/v3"], "timezone_string": "UTC"}
        elif collection in COLLECTIONS and number:
            body = self._find(collection, int(number))
        elif collection in COLLECTIONS:
            if unknown := params.keys() - SUPPORTED_PARAMETERS:
                return _error(400, headers, f"the frozen store does not know {sorted(unknown)}")
            if params.get("orderby", "id") != "id":
                return _error(400, headers, "the frozen store orders by id alone")
            body = self._page(collection, params, headers)
        else:
            body = self._bodies.get(path)
        if body is None:
            return _error(404, headers, f"nothing is at {path}")
        return 200, headers, orjson.dumps(_select_fields(body, params))

    def _page(
        self, collection: str, params: cabc.Mapping[str, str], headers: dict[str, str]
    ) -> list[Row]:
        """Return a page of a list, and add the list's totals to the headers."""
        rows = [row for row in self._bodies[collection] if _is_wanted(row, params)]
        rows.sort(key=lambda row: int(row["id"]), reverse=params.get("order", "desc") == "desc")
        size = int(params.get("per_page", 10))
        start = int(params.get("offset", (int(params.get("page", 1)) - 1) * size))
        headers["X-WP-Total"] = str(len(rows))
        headers["X-WP-TotalPages"] = str(-(-len(rows) // size))
        return rows[start : start + size]

    def _find(self, path: str, object_id: int) -> Row | None:
        return next((row for row in self._bodies[path] if row["id"] == object_id), None)

    @contextlib.contextmanager
    def serve(self) -> cabc.Iterator[str]:
        """Serve the store while the block runs; yield host and port."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _is_wanted(row: Row, params: cabc.Mapping[str, str]) -> bool:
    """Return whether a list includes an object."""
    if "include" in params:
        if str(row["id"]) not in params["include"].split(","):
            return False
    if "modified_after" in params:
        assert params.get("dates_are_gmt") == "true"
        if row["date_modified_gmt"] <= params["modified_after"]:
            return False
    if params.get("code", row.get("code")) != row.get("code"):
        return False
    if params.get("role", "all") not in ("all", row.get("role")):
        return False
    if "status" not in row:
        return True
    statuses = (params.get("include_status") or params.get("status") or "any").split(",")
    return row["status"] in statuses or ("any" in statuses and row["status"] != "trash")


def _select_fields(body: t.Any, params: cabc.Mapping[str, str]) -> t.Any:
    """Return the members in ``_fields`` of an object, or of each object of a list."""
    if "_fields" not in params:
        return body
    if isinstance(body, list):
        return [_select_fields(one, params) for one in body]
    return {name: body[name] for name in params["_fields"].split(",") if name in body}


def _error(status: int, headers: dict[str, str], message: str) -> tuple[int, dict[str, str], bytes]:
    code = "rest_no_route" if status == 404 else "rest_invalid_param"
    return status, headers, orjson.dumps({"code": code, "message": message})


def _handler(store: FrozenStore) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def _serve(self) -> None:
            status, headers, body = store.answer(self.path)
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = _serve

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
