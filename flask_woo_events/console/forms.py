"""The form of a store: its fields, and the API request that it stands for."""

from __future__ import annotations

import collections.abc as cabc
import json
import typing as t

import orjson
import werkzeug.datastructures
import wtforms

from ..errors import InputError
from ..instances.polled_resources import CONFIGURATION_KEY, default_configuration, parse_legacy_urls
from ..instances.requests import format_of, key_of
from ..values.cloud_elements import Format
from ..values.validation import load_json

#: Fields of the form that are keys of the configuration, with the key's name in our schema.
KEYS = {
    "store_url": "store_url",
    "api_key": "api_key",
    "api_secret": "api_secret",
    "user_agent": "user_agent",
    "store_headers": "store_headers",
    "callback_url": "callback_url",
    "signature_key": "signature_key",
    "callback_headers": "callback_headers",
    "basic_username": "basic_username",
    "basic_password": "basic_password",
}
#: Fields that the request omits when they are empty: of the callback, and all of them.
OF_CALLBACK = ("signature_key", "callback_headers", "basic_username", "basic_password")
OPTIONAL = ("user_agent", "store_headers", *OF_CALLBACK)
_DATES = {
    "updated_field": "updatedDateField",
    "updated_format": "updatedDateFormat",
    "created_field": "createdDateField",
    "created_format": "createdDateFormat",
}
#: The formats of notifications offered, each with what it means.
NOTIFICATION_FORMATS = {
    Format.CLOUD_ELEMENTS: "The documented members and no others.",
    Format.EXTENDED: "Also says for each event its version and what changed.",
    Format.THIN: "As extended, but without the objects themselves.",
    Format.CLOUDEVENTS: "CloudEvents 1.0 in JSON, each event in a request of its own.",
}
#: Date formats offered, as documented.
FORMATS = (
    "yyyy-MM-dd'T'HH:mm:ss",
    "yyyy-MM-dd'T'HH:mm:ss'Z'",
    "yyyy-MM-dd'T'HH:mm:ssXXX",
    "yyyy-MM-dd'T'HH:mm:ssZ",
    "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "yyyy-MM-dd HH:mm:ss",
    "yyyy-MM-dd",
    "yyyy/MM/dd HH:mm:ss",
    "MM/dd/yyyy'T'HH:mm:ssXXX",
    "MM/dd/yyyy",
    "dd/MM/yyyy'T'HH:mm:ssXXX",
    "dd/MM/yyyy",
    "EEE, dd MMM yyyy HH:mm:ss Z",
    "milliseconds",
)


class ResourceForm(wtforms.Form):
    """One resource of the list, and its side sheet."""

    selected = wtforms.BooleanField("Poll this resource")
    name = wtforms.StringField("Resource")
    url = wtforms.StringField("URL")
    id_field = wtforms.StringField("ID Field")
    advanced = wtforms.BooleanField("Advanced Filtering")
    updated_field = wtforms.StringField("Updated Date Field")
    updated_format = wtforms.StringField("Updated Date Format")
    created_field = wtforms.StringField("Created Date Field")
    created_format = wtforms.StringField("Created Date Format")
    #: The parameters that the sheet does not show, as JSON.
    rest = wtforms.HiddenField()


class StoreForm(wtforms.Form):
    """The form of the page "Authenticate a store"; ``instances.requests`` validates its values."""

    name = wtforms.StringField("Name")
    store_url = wtforms.StringField("Store URL")
    api_key = wtforms.StringField("Consumer Key")
    api_secret = wtforms.StringField("Consumer Secret")
    user_agent = wtforms.StringField("Store Request User-Agent")
    store_headers = wtforms.TextAreaField("Store Request Headers")
    signature_key = wtforms.StringField("Callback Notification Signature Key")
    callback_headers = wtforms.TextAreaField("Event Notification Callback Headers")
    basic_username = wtforms.StringField("Event Notification Basic Authentication UserName")
    basic_password = wtforms.StringField("Event Notification Basic Authentication Password")
    keep_nulls = wtforms.BooleanField("Keep null values in the raw records")
    format = wtforms.StringField("Format of the notifications")
    tags = wtforms.StringField("Element Instance Tags")
    chosen_tags = wtforms.SelectMultipleField(validate_choice=False)
    enabled = wtforms.BooleanField("Events Enabled")
    vendor_type = wtforms.StringField("Event Type")
    callback_url = wtforms.StringField("Event Notification Callback URL")
    refresh_minutes = wtforms.StringField("Event poller refresh interval (mins)")
    reconcile_minutes = wtforms.StringField("Reconcile interval (mins)")
    resources = wtforms.FieldList(wtforms.FormField(ResourceForm))
    #: ``list`` or ``json``: which of the two views holds the resources.
    mode = wtforms.HiddenField()
    poller_json = wtforms.TextAreaField("Event Poller Resources Configuration")

    @property
    def has_optional(self) -> bool:
        """One of the optional fields is filled in, or another format than the first is chosen."""
        other = self.format.data not in (None, "", Format.CLOUD_ELEMENTS)
        return other or any(self[field].data for field in OPTIONAL)

    @property
    def tag_list(self) -> list[str]:
        """Tags that were typed, separated by commas, and tags that were selected."""
        typed = [tag.strip() for tag in (self.tags.data or "").split(",") if tag.strip()]
        return list(dict.fromkeys([*typed, *(self.chosen_tags.data or [])]))


def blank() -> StoreForm:
    """Return the form of a new instance: the four documented resources, every 15 minutes."""
    form = StoreForm(
        vendor_type="polling",
        refresh_minutes="15",
        reconcile_minutes="60",
        format=Format.CLOUD_ELEMENTS.value,
        mode="list",
    )
    fill_resources(form, default_configuration())
    return form


def submitted(fields: werkzeug.datastructures.MultiDict[str, str]) -> StoreForm:
    """Return the form with submitted values."""
    form = StoreForm(fields)
    form.mode.data = "json" if form.mode.data == "json" else "list"
    return form


def of_instance(
    name: str,
    tags: cabc.Sequence[str],
    stored: cabc.Mapping[str, str],
    known_tags: cabc.Collection[str] = (),
) -> StoreForm:
    """Return the form of an existing instance.

    :param stored: its configuration, secrets masked.
    :param known_tags: tags offered for selection; the others are in the text field.
    """
    form = StoreForm(
        name=name,
        tags=", ".join(tag for tag in tags if tag not in known_tags),
        chosen_tags=[tag for tag in tags if tag in known_tags],
        enabled=stored.get(key_of("enabled"), "false").lower() == "true",
        vendor_type=stored.get(key_of("vendor_type"), "polling"),
        refresh_minutes=stored.get(key_of("refresh_minutes")) or "15",
        reconcile_minutes=stored.get(key_of("reconcile_minutes")) or "60",
        keep_nulls=stored.get(key_of("filter_nulls"), "true").lower() == "false",
        format=format_of(stored).value,
        mode="list",
    )
    for field, name in KEYS.items():
        form[field].data = stored.get(key_of(name), "")
    urls = stored.get(key_of("poller_urls"), "")
    text = stored.get(CONFIGURATION_KEY, "")
    blocks = json.loads(text) if text else parse_legacy_urls(urls) if urls else None
    fill_resources(form, blocks or default_configuration(), offered=default_configuration())
    return form


def fill_resources(
    form: StoreForm,
    blocks: cabc.Mapping[str, t.Any],
    offered: cabc.Mapping[str, t.Any] | None = None,
) -> None:
    """Fill the list of resources with blocks of ``event.poller.configuration``.

    :param offered: more blocks, which are added to the list without being selected.
    """
    while form.resources.entries:
        form.resources.pop_entry()
    for name, block in blocks.items():
        form.resources.append_entry(_row(name, block, selected=True))
    polled = {block.get("url") for block in blocks.values() if isinstance(block, dict)}
    for name, block in (offered or {}).items():
        if name not in blocks and block["url"] not in polled:
            form.resources.append_entry(_row(name, block, selected=False))


def add_resource(form: StoreForm) -> None:
    """Add a row to be named; it starts as a copy of the default for orders."""
    block = dict(default_configuration()["orders"], url="/hubs/ecommerce/")
    form.resources.append_entry(_row("", block, selected=True))


def _row(name: str, block: t.Any, *, selected: bool) -> dict[str, t.Any]:
    block = dict(block) if isinstance(block, dict) else {}
    dates = block.pop("datesConfiguration", None)
    dates = dict(dates) if isinstance(dates, dict) else {}
    row = {
        "name": name,
        "selected": selected,
        "url": block.pop("url", ""),
        "id_field": block.pop("idField", "id"),
        "advanced": bool(dates),
        **{field: dates.pop(member, "") for field, member in _DATES.items()},
    }
    return row | {"rest": orjson.dumps([block, dates]).decode()}


def blocks_of(form: StoreForm) -> dict[str, t.Any]:
    """Return the selected resources as ``event.poller.configuration``.

    :raises InputError: two resources have the same name.
    """
    blocks: dict[str, t.Any] = {}
    for entry in form.resources.entries:
        row = entry.form
        if not row.selected.data:
            continue
        name = (row.name.data or "").strip()
        if name in blocks:
            raise InputError(
                f"two resources have the name {name!r}", f"configuration.{CONFIGURATION_KEY}"
            )
        block, dates = _rest(row.rest.data)
        if row.advanced.data:
            shown = {member: row[field].data for field, member in _DATES.items()}
            dates = {member: text for member, text in shown.items() if text} | dates
        else:
            dates = {}
        blocks[name] = {
            "url": row.url.data or "",
            "idField": row.id_field.data or "",
            "datesConfiguration": dates,
            **block,
        }
    return blocks


def _rest(text: str | None) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    try:
        block, dates = orjson.loads(text or "")
        return dict(block), dict(dates)
    except (orjson.JSONDecodeError, ValueError, TypeError):
        return {}, {}


def polled_json(form: StoreForm) -> str:
    """Return the selected resources as JSON text."""
    return orjson.dumps(blocks_of(form), option=orjson.OPT_INDENT_2).decode()


def read_json(form: StoreForm) -> dict[str, t.Any]:
    """Return the resources of the JSON text.

    :raises InputError: it is not JSON, or not an object.
    """
    name = f"configuration.{CONFIGURATION_KEY}"
    try:
        value = load_json((form.poller_json.data or "").encode())
    except InputError as exc:
        raise InputError(str(exc).replace("the body", "this"), name) from exc
    if not isinstance(value, dict) or not value:
        raise InputError("expected an object of resources to poll", name)
    return value


def request_of(form: StoreForm, stored: cabc.Mapping[str, str] | None = None) -> dict[str, t.Any]:
    """Return the body of the API request that the form stands for.

    :param stored: the configuration that is changed, secrets masked: an optional field that was
        emptied is included as an empty text. ``None`` for a new instance.
    :raises InputError: the resources cannot be read.
    """
    creates, before = stored is None, stored or {}
    configuration: dict[str, t.Any] = {}
    for field, name in KEYS.items():
        value = (form[field].data or "").strip()
        if value or field not in OPTIONAL or before.get(key_of(name)):
            configuration[key_of(name)] = value
    configuration[key_of("enabled")] = bool(form.enabled.data)
    configuration[key_of("vendor_type")] = form.vendor_type.data or ""
    if form.keep_nulls.data or before.get(key_of("filter_nulls")):
        configuration[key_of("filter_nulls")] = not form.keep_nulls.data
    if form.format.data and not (creates and form.format.data == Format.CLOUD_ELEMENTS):
        configuration[key_of("format")] = form.format.data
    blocks = read_json(form) if form.mode.data == "json" else blocks_of(form)
    polls = form.vendor_type.data != "webhook"
    if polls:
        configuration[key_of("refresh_minutes")] = (form.refresh_minutes.data or "").strip()
    elif (
        form.reconcile_minutes.data not in (None, "", "60") or key_of("reconcile_minutes") in before
    ):
        configuration[key_of("reconcile_minutes")] = (form.reconcile_minutes.data or "").strip()
    if polls or not creates or blocks != default_configuration():
        configuration[CONFIGURATION_KEY] = blocks
    body: dict[str, t.Any] = {"element": {"key": "woocommercerest"}} if creates else {}
    return body | {"configuration": configuration, "tags": form.tag_list, "name": form.name.data}


#: The form's field for each field of the request.
FIELDS = {
    **{f"configuration.{key_of(name)}": field for field, name in KEYS.items()},
    f"configuration.{key_of('refresh_minutes')}": "refresh_minutes",
    f"configuration.{key_of('reconcile_minutes')}": "reconcile_minutes",
    f"configuration.{key_of('vendor_type')}": "vendor_type",
    f"configuration.{key_of('format')}": "format",
    "name": "name",
    "tags": "tags",
}
