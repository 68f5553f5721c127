"""The addresses of connected stores, by which commands find an instance."""

from __future__ import annotations

import dataclasses
import ipaddress
import urllib.parse

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Configuration, Instance
from ..errors import InputError
from ..woocommerce.client import store_root
from .requests import key_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreAddress:
    """One instance and the address of its store."""

    instance_id: int
    organization_id: int
    url: str

    @property
    def is_local(self) -> bool:
        """Whether the store is on this machine."""
        host = urllib.parse.urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def of_instances(session: orm.Session) -> list[StoreAddress]:
    """Return the instances of all organisations with the addresses of their stores."""
    query = (
        sa.select(Instance.id, Instance.organization_id, Configuration.value)
        .join(Configuration, Configuration.instance_id == Instance.id)
        .where(Configuration.key == key_of("store_url"))
        .order_by(Instance.id)
    )
    return [
        StoreAddress(instance_id=number, organization_id=organization_id, url=url)
        for number, organization_id, url in session.execute(query)
    ]


def at(session: orm.Session, url: str) -> list[StoreAddress]:
    """Return the instances whose store is at an address.

    :raises InputError: the address cannot be one.
    """
    root = store_root(url)
    return [one for one in of_instances(session) if _root(one.url) == root]


def _root(url: str) -> str:
    try:
        return store_root(url)
    except InputError:
        return ""  # A damaged row.
