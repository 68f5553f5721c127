"""The address guard: which addresses may be connected to."""

from __future__ import annotations

import dataclasses
import ipaddress

from ..errors import AddressRefusedError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Services of clouds for their own machines, which answer with credentials; no setting allows them.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",  # nearly all clouds
            "fd00:ec2::254",  # AWS
            "169.254.170.2",  # AWS, containers
            "169.254.170.23",
            "fd00:ec2::23",
            "168.63.129.16",  # Azure
            "fd20:ce::254",  # Google
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
        ),
    )
)
#: All that IANA has assigned of IPv6 to the internet. Python's ``is_global`` calls any network
#: public that is in no list of special ones, such as ``5f00::/16`` on Python 3.11.
_INTERNET = ipaddress.ip_network("2000::/3")
# Networks that Python 3.11's ``is_global`` calls public, although they can lead to private ones.
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.88.99.0/24",  # 6to4 relays
            "2001::/32",  # Teredo
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)
#: Networks whose addresses end with an IPv4 address.
_ENDS_WITH_IPV4 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "::/96",  # IPv4-compatible
            "::ffff:0:0:0/96",  # IPv4-translated
            "64:ff9b::/96",  # NAT64
            "64:ff9b:1::/48",  # NAT64 of a network's own
        ),
    )
)


@dataclasses.dataclass(frozen=True)
class AddressGuard:
    """Which addresses may be connected to.

    :param allow_private: allow private, loopback and link-local addresses.
    :param allow_hosts: host names and literal addresses, in lower case, that are always allowed.
    :param setting: the setting that the message of a refusal names.
    """

    allow_private: bool = False
    allow_hosts: frozenset[str] = frozenset()
    setting: str = "WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS"

    def check(self, ip: str | IPAddress, host: str = "") -> None:
        """Raise an error if an address must not be connected to.

        :param host: the name that was resolved. The message names it instead of the address,
            which would disclose our own network.
        :raises AddressRefusedError: the address is refused.
        """
        name = (host or str(ip)).lower().rstrip(".")
        if name in self.allow_hosts:
            return
        address = ipaddress.ip_address(ip) if isinstance(ip, str) else ip
        inner = _embedded(address)
        for each in {address, inner}:
            if each.is_unspecified or each.is_multicast or each in METADATA or _reserved(each):
                raise AddressRefusedError(
                    f"{name} is at an address that is never called (unspecified, multicast, "
                    "reserved or a cloud's metadata service)"
                )
        if not self.allow_private and not _is_public(address, inner):
            raise AddressRefusedError(
                f"{name} is at a private, local or tunnelled address; "
                f"set {self.setting} to allow such addresses"
            )


def _is_public(address: IPAddress, inner: IPAddress) -> bool:
    """Return whether an address leads to the internet.

    :param inner: the IPv4 address inside it, or the address itself.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        if address not in _INTERNET or not inner.is_global:
            return False
    else:
        address = inner  # An IPv4-mapped address is its IPv4 address.
    return address.is_global and not any(address in network for network in _SPECIAL)


def _reserved(ip: IPAddress) -> bool:
    return isinstance(ip, ipaddress.IPv4Address) and ip.is_reserved


def _embedded(ip: IPAddress) -> IPAddress:
    """Return the IPv4 address inside an IPv6 address, or the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if inner := ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1]):
        return inner
    if any(ip in network for network in _ENDS_WITH_IPV4) and int(ip) > 1 or _is_isatap(ip):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _is_isatap(ip: ipaddress.IPv6Address) -> bool:
    """Return whether a host leads to an IPv4 address in any network (RFC 5214, 6.1)."""
    return int(ip) >> 32 & 0xFDFFFFFF == 0x00005EFE
