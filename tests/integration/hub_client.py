"""A client of the hub with the token of an instance."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import pathlib
import shutil
import typing as t
import urllib.parse

from flask_woo_events.simulation.store import SimulatedStore
from tests.integration.host_app import Account, Api, Headers, add_account, dispose, make_app

Body = dict[str, t.Any]


@dataclasses.dataclass
class Hub:
    """The hub of one instance, over real sockets."""

    store: SimulatedStore
    url: str
    api: Api
    account: Account
    instance: Body

    @property
    def token(self) -> Headers:
        """Return the header with the instance's token."""
        return self.account.element(self.instance["token"])

    def call(self, method: str, path: str, body: object = None, **query: object) -> t.Any:
        """Call a path with the token."""
        text = urllib.parse.urlencode({name: str(value) for name, value in query.items()})
        return self.api.call(method, f"{path}?{text}" if text else path, body, self.token)

    def rows(self, path: str, **query: object) -> list[Body]:
        """Return the rows of a list, which must answer 200."""
        response = self.call("GET", f"/hubs/ecommerce/{path}", **query)
        assert response.status_code == 200
        assert response.headers["Elements-Returned-Count"] == str(len(response.json))
        return t.cast("list[Body]", response.json)

    def ids(self, path: str, **query: object) -> list[int]:
        """Return the ids of a list."""
        return [row["id"] for row in self.rows(path, **query)]

    def make(self, path: str, **body: object) -> Body:
        """Create an object."""
        response = self.call("POST", f"/hubs/ecommerce/{path}", body)
        assert response.status_code == 200
        return t.cast(Body, response.json)

    def asked(self) -> list[Body]:
        """Return the parameters of the store's requests since the last call, without our own."""
        asked = [dict(one.params) for one in self.store.requests]
        self.store.requests.clear()
        return asked


@contextlib.contextmanager
def open_hub(
    folder: pathlib.Path, tables: pathlib.Path, version: str = "11.0", **configuration: object
) -> cabc.Iterator[Hub]:
    """Connect a store of New York with 30 orders, 12 products, 4 coupons and 9 customers."""
    shutil.copy(tables, folder / "host.sqlite3")
    store = SimulatedStore(
        version,
        consumer_key="ck_test",
        consumer_secret="cs_test",
        timezone="America/New_York",
    )
    store.populate(orders=30, products=12, coupons=4, customers=9)
    store.routes.orders.varies = False
    app = make_app(folder, WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True)
    with store.serve() as url:
        account = add_account(app, "ann", "acme")
        api = Api(app.test_client(), account.headers, url)
        hub = Hub(store, url, api, account, api.create(**configuration))
        hub.asked()
        yield hub
    dispose(app)
