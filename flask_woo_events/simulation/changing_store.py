"""A store that is changed over its REST API: objects to change are chosen, or made and marked."""

from __future__ import annotations

import collections.abc as cabc
import random
import typing as t

from ..errors import (
    ConflictError,
    InputError,
    StoreAccessError,
    StoreFirewallError,
    TransportError,
)
from ..http.exchange import AddressGuard, make_session
from ..woocommerce import endpoints
from ..woocommerce.client import StoreClient
from .store.control import NAMESPACE, PATH

Row = dict[str, t.Any]
#: Chooses one of several objects, the newest first.
Choose = cabc.Callable[[cabc.Sequence[Row]], Row]
#: Waits until an object is known as live or as gone: resource, id, live.
Recorded = cabc.Callable[[str, int, bool], None]

#: Meta data of objects that are made here.
MARK = "_flask_woo_events_test"
_THINGS = ("Mug", "Tee", "Pen", "Poster", "Bag", "Cap", "Notebook", "Sticker", "Lamp", "Plate")
_NAMES = ("Ann", "Bob", "Cem", "Dee", "Eva", "Fay", "Gil", "Hal", "Ida", "Jon")
_STREETS = ("Main", "Oak", "Mill", "Station", "Market", "Church")
#: Objects among which one is chosen.
_CHOICE = 100


def client_of(url: str, key: str, secret: str) -> StoreClient:
    """Return a client of a simulated store, which is usually at a local address.

    :raises InputError: the address or a key cannot be used.
    """
    guard = AddressGuard(allow_private=True)
    session = make_session(guard=guard, pool_size=4, retries=True)
    return StoreClient(url, key, secret, session=session)


def is_simulator(client: StoreClient) -> bool:
    """Return whether a store is one of ``flask woo simulate``.

    :raises TransportError: it does not answer.
    """
    namespaces = client.index().data.get("namespaces")
    return isinstance(namespaces, list) and NAMESPACE in namespaces


class ChangingStore:
    """A store, and the objects that a change needs.

    :param client: of the store, with keys that may write.
    :param simulated: change any of its objects; of a real store only those made here.
    :param choose: by default the newest.
    :param recorded: is called before an existing object is changed.
    """

    def __init__(
        self,
        client: StoreClient,
        *,
        simulated: bool,
        rng: random.Random | None = None,
        choose: Choose = lambda rows: rows[0],
        recorded: Recorded = lambda resource, number, live: None,
    ) -> None:
        self._client = client
        self._simulated = simulated
        self._choose = choose
        self.rng = rng or random.Random()
        self.recorded = recorded
        #: What was made here, in the order of creation: resource and id.
        self.made: list[tuple[str, int]] = []

    # Requests

    def post(self, path: str, body: object) -> Row:
        """Create something.

        :raises ConflictError: the keys may not write.
        """
        return self._write(lambda: self._client.post(path, body))

    def put(self, resource: str, number: int, **body: object) -> None:
        """Change an object."""
        path = f"{_path(resource)}/{number}"
        self._write(lambda: self._client.put(path, body))

    def delete(self, resource: str, number: int, *, force: bool = True) -> None:
        """Delete an object permanently, or move it to the trash."""
        path, params = f"{_path(resource)}/{number}", {"force": "true"} if force else None
        self._write(lambda: self._client.delete(path, params))

    def control(self, act: str, *arguments: object) -> int:
        """Perform an action of a simulated store's own side; return the id of its object.

        :raises InputError: the store is a real one.
        """
        if not self._simulated:
            raise InputError("only a simulated store can make this change")
        return int(self.post(f"{PATH}{act}", {"arguments": arguments})["id"])

    def _write(self, request: cabc.Callable[[], t.Any]) -> Row:
        try:
            return t.cast(Row, request().data)
        except StoreFirewallError:
            raise  # It names its own fix.
        except StoreAccessError as exc:
            raise ConflictError(
                f"{self._client.url} refused to write with these keys. Make keys with the "
                "permission Read/Write in WooCommerce > Settings > Advanced > REST API, and set "
                f"them with flask woo instances change. The store said: {exc.said or exc}"
            ) from exc

    # Objects to change

    def pick(
        self,
        resource: str,
        make: cabc.Callable[[], int],
        fits: cabc.Callable[[Row], bool] = lambda row: True,
        *,
        live: bool = True,
        **params: str,
    ) -> Row:
        """Return an object to change, when it is recorded as it is.

        :param make: makes one, if the store has none that fits, or is a real one.
        :param live: whether the object is in the list that is polled.
        :param params: of the list to choose from.
        """
        path = _path(resource)
        fitting: list[Row] = []
        if self._simulated:
            listed = self._client.get_list(path, {"per_page": _CHOICE, **params}, ids=True).data
            fitting = [row for row in listed if fits(row)]
        row = self._choose(fitting) if fitting else self._client.get(f"{path}/{make()}").data
        self.recorded(resource, row["id"], live)
        return t.cast(Row, row)

    def make(self, resource: str, **body: object) -> int:
        """Make a marked object."""
        mark = {"meta_data": [{"key": MARK, "value": "1"}]}
        number = int(self.post(_path(resource), {**body, **mark})["id"])
        self.made.append((resource, number))
        return number

    def product(self, **body: object) -> int:
        """Make a product."""
        name = f"{self.rng.choice(_THINGS)} {self.token()}"
        price = f"{self.rng.randrange(100, 9000) / 100:.2f}"
        stocked = {"manage_stock": True, "stock_quantity": self.rng.randrange(20, 90)}
        named = {"name": name if self._simulated else f"Test {name}", "regular_price": price}
        return self.make("products", **{**named, **stocked, **body})

    def customer(self) -> int:
        """Make a customer."""
        token = self.token()
        return self.make(
            "customers",
            email=f"test-{token}@example.com",
            username=f"test-{token}",
            first_name=self.rng.choice(_NAMES),
            last_name="Test",
        )

    def coupon(self) -> int:
        """Make a coupon."""
        amount = str(self.rng.randrange(1, 9))
        return self.make("discounts", code=f"test-{self.token()}", amount=amount)

    def order(self, status: str, **body: object) -> int:
        """Make an order of one product, in a simulated store of one of its customers."""
        product = self.pick("products", self.product, _is_sold)
        first_name = self.rng.choice(_NAMES)
        whole: Row = {
            "status": status,
            "payment_method": "bacs",
            "payment_method_title": "Direct bank transfer",
            "billing": {"first_name": first_name, "last_name": "Test", "address_1": self.street(),
                        "city": "Springfield", "country": "US", "email": "test@example.com"},
            "line_items": [{"product_id": product["id"], "quantity": self.rng.randrange(1, 3)}],
            **body,
        }  # fmt: skip
        if self._simulated:
            whole["customer_id"] = self.pick("customers", self.customer)["id"]
        return self.make("orders", **whole)

    def street(self) -> str:
        """Return the first line of an address."""
        return f"{self.rng.randrange(1, 2000)} {self.rng.choice(_STREETS)} Street"

    def token(self) -> str:
        """Return a text that no other object has."""
        return f"{self.rng.getrandbits(32):08x}"


def _is_sold(row: Row) -> bool:
    return row["type"] == "simple" and (row["stock_quantity"] or 0) > 2


def _path(resource: str) -> str:
    """Return the path of a resource; of one that has no name of ours the text itself."""
    return endpoints.named(resource).path if resource in endpoints.names() else resource


def require_simulator(client: StoreClient) -> None:
    """Check that a store is one of ``flask woo simulate``.

    :raises ConflictError: it is another store, or none answers.
    """
    try:
        simulated = is_simulator(client)
    except TransportError as exc:
        raise ConflictError(
            f"no simulated store answers at {client.url}; start one with: flask woo simulate"
        ) from exc
    if not simulated:
        raise ConflictError(
            f"{client.url} is no simulated store; for a test store of yours use --store INSTANCE"
        )
