"""``flask woo simulate``: serve a simulated WooCommerce store."""

from __future__ import annotations

import threading

import click

from ..simulation.store import VERSIONS, SimulatedStore


@click.command("simulate")
@click.option(
    "--version",
    default="11.0",
    show_default=True,
    type=click.Choice(list(VERSIONS)),
    help="WooCommerce version to simulate.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8100, show_default=True, help="Port to listen on.")
@click.option("--orders", default=100, show_default=True, help="Number of orders in the store.")
@click.option("--products", default=20, show_default=True, help="Number of products.")
@click.option("--coupons", default=5, show_default=True, help="Number of coupons.")
@click.option("--customers", default=30, show_default=True, help="Number of customers.")
@click.option("--journal", is_flag=True, help="Install the companion plugin.")
def simulate(
    version: str,
    host: str,
    port: int,
    orders: int,
    products: int,
    coupons: int,
    customers: int,
    journal: bool,
) -> None:
    """Serve a simulated store until Ctrl-C."""
    store = SimulatedStore(
        version,
        consumer_key="ck_simulated",
        consumer_secret="cs_simulated",
        journal=journal,
    )
    store.populate(orders=orders, products=products, coupons=coupons, customers=customers)
    store.webhooks.auto = True
    with store.serve(host, port) as url:
        click.echo(f"store.url         {url}")
        click.echo("oauth.api.key     ck_simulated")
        click.echo("oauth.api.secret  cs_simulated")
        click.echo(f"Serving the REST API of WooCommerce {version}. Press Ctrl-C to stop.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("stopped")
