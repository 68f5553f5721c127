"""``flask woo trigger``: make a named change in a simulated store, or in a test store."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from ..errors import ConflictError, SchemaError, TransportError
from ..instances import access, store_addresses, webhooks
from ..runtime import Runtime, current_runtime
from ..simulation import changing_store, triggers
from ..simulation.changing_store import ChangingStore
from ..simulation.ledger_wait import LedgerWait
from ..simulation.triggers import TRIGGERS, Trigger
from ..woocommerce.client import StoreClient
from .output import ID, as_json_option, echo_json, echo_table, errors_as_messages
from .progress import saying
from .simulate import HOST, KEY, PORT, SECRET


@click.command("trigger")
@click.argument("name", required=False)
@click.option("--list", "only_list", is_flag=True, help="List the triggers and exit.")
@click.option("--url", metavar="URL", help="URL of the simulated store, if there are several.")
@click.option("--key", default=KEY, show_default=True, help="Its consumer key, with --url.")
@click.option(
    "--secret", default=SECRET, show_default=True, help="Its consumer secret, with --url."
)
@click.option(
    "--store",
    "instance_id",
    type=ID,
    metavar="INSTANCE_ID",
    help="Change the real test store of this instance, with the instance's keys.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether it is a test store.")
@as_json_option
@with_appcontext
@errors_as_messages
def trigger(
    name: str | None,
    only_list: bool,
    url: str | None,
    key: str,
    secret: str,
    instance_id: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Make a named change in a simulated or test store.

    NAME is one of --list, such as order.completed. Without options it is made in the connected
    simulated store, or in the one that flask woo simulate serves.
    """
    if only_list:
        _list(as_json)
        return
    if name is None:
        raise click.UsageError("name a trigger; flask woo trigger --list lists them")
    chosen = triggers.find(name)
    runtime = current_runtime()
    if url is not None and instance_id is not None:
        raise click.UsageError("--url and --store exclude each other")
    if instance_id is not None:
        client = _client(runtime, instance_id)
        simulated = changing_store.is_simulator(client)
        if not simulated:
            triggers.require_rest(chosen)
            if not yes:
                click.confirm(f"{client.url} is a real store. Is it a test store that may be "
                              "changed?", abort=True, err=True)  # fmt: skip
    else:
        given = None if url is None else changing_store.client_of(url, key, secret)
        client, instance_id = _simulator(runtime, given)
        simulated = True
    _run(runtime, chosen, client, instance_id, simulated=simulated, as_json=as_json)


def _list(as_json: bool) -> None:
    if as_json:
        for one in TRIGGERS.values():
            echo_json({"name": one.name, "eventType": one.event_type, "resource": one.resource,
                       "does": one.does, "byRest": one.by_rest})  # fmt: skip
        return
    echo_table(
        ("name", "event", "what is done"),
        [
            (
                one.name,
                f"{one.event_type} {one.resource}",
                one.does if one.by_rest else f"{one.does} (simulated stores only)",
            )
            for one in TRIGGERS.values()
        ],
    )


def _client(runtime: Runtime, instance_id: int) -> StoreClient:
    with runtime.database.read() as session:
        access.owner(session, instance_id)
        found = access.load_access(session, runtime.cipher, instance_id)
    return runtime.store_client(found)


def _simulator(runtime: Runtime, given: StoreClient | None) -> tuple[StoreClient, int | None]:
    """Return the simulated store and the instance that is connected to it, if there is one.

    :raises ConflictError: no simulated store answers, or several do.
    """
    connected: list[tuple[StoreClient, int]] = []
    try:
        with runtime.database.read() as session:
            if given is not None:
                known = store_addresses.at(session, given.url)
                connected = [(given, one.instance_id) for one in known[-1:]]
            else:
                for one in store_addresses.of_instances(session):
                    if one.is_local:
                        found = access.load_access(session, runtime.cipher, one.instance_id)
                        keys = found.consumer_key, found.consumer_secret
                        client = changing_store.client_of(found.url, *keys)
                        connected.append((client, one.instance_id))
    except SchemaError:
        connected = []  # The store of flask woo simulate can be found without tables.
    if given is None:
        connected = list({client.url: (client, one) for client, one in connected
                          if _answers(client)}.values())  # fmt: skip
    if len(connected) > 1:
        urls = ", ".join(client.url for client, _ in connected)
        raise ConflictError(f"several simulated stores are connected ({urls}): add --url URL")
    if connected:
        changing_store.require_simulator(connected[0][0])
        return connected[0]
    client = given or changing_store.client_of(f"http://{HOST}:{PORT}", KEY, SECRET)
    changing_store.require_simulator(client)
    return client, None


def _answers(client: StoreClient) -> bool:
    try:
        return changing_store.is_simulator(client)
    except TransportError:
        return False


def _run(
    runtime: Runtime,
    chosen: Trigger,
    client: StoreClient,
    instance_id: int | None,
    *,
    simulated: bool,
    as_json: bool,
) -> None:
    def say(text: str) -> None:
        click.echo(text, err=True)

    recorded = None if instance_id is None else LedgerWait(runtime, instance_id, say)
    store = ChangingStore(client, simulated=simulated, recorded=recorded or _nothing_is_known)
    try:
        with saying(f"Waiting for {client.url} ..."):
            number = chosen.run(store)
    finally:
        made = [f"{resource} {one}" for resource, one in store.made]
        if made and not as_json:
            click.echo(f"made       {', '.join(made)}")
    if instance_id is not None:
        with runtime.database.write() as session:
            webhooks.poll_named(session, [instance_id], runtime.clock())
    if as_json:
        echo_json({"trigger": chosen.name, "eventType": chosen.event_type,
                   "resource": chosen.resource, "id": number, "made": made,
                   "instance": instance_id})  # fmt: skip
        return
    click.echo(f"changed    {client.url}: {chosen.does}")
    click.echo(f"expect     {chosen.event_type} {chosen.resource} {number}")
    if recorded is None:
        say(f"No instance is connected to this store: flask woo connect {client.url} KEY SECRET")
    elif chosen.resource not in recorded.resources:
        say(f"Instance {instance_id} does not poll {chosen.resource}, so that no event follows; "
            f"connect the store with --resource {chosen.resource}")  # fmt: skip


def _nothing_is_known(resource: str, number: int, live: bool) -> None:
    """Accept an object as it is: no instance has to know it."""
