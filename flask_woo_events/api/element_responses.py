"""The answers about the element: what they hold, and how it is serialized."""

from __future__ import annotations

import typing as t

import pydantic

from .responses import (
    ELEMENT,
    ApiResponse,
    Attribute,
    AuthenticationResponse,
    ElementSummaryResponse,
)


class ConfigurationDefinitionResponse(ApiResponse):
    """A key that an instance's configuration can have."""

    id: int
    name: str
    key: str
    description: str
    defaultValue: t.Annotated[str, Attribute("default")]
    resellerConfig: bool = False
    companyConfig: bool = False
    active: bool = True
    internal: bool = False
    groupControl: bool = False
    isPrivate: bool = False
    displayOrder: t.Annotated[int, Attribute("order")]
    type: str
    hideFromConsole: t.Annotated[bool, Attribute("hidden")]
    required: bool


class ElementResponse(ElementSummaryResponse):
    """The element with its configuration keys."""

    configuration: list[ConfigurationDefinitionResponse]


class PolledResourceResponse(ApiResponse):
    """A resource that can be polled."""

    eventTypes: list[str]
    pollUrl: str


class HookedResourceResponse(ApiResponse):
    """A resource that has webhooks."""

    eventTypes: list[str]


class EventsMetadataResponse(ApiResponse):
    """The events that exist, and how they are found."""

    supported: bool = True
    methods: list[str] = ["polling", "webhook"]
    polling: dict[str, PolledResourceResponse]
    webhook: dict[str, HookedResourceResponse]


class ObjectMetadataResponse(ApiResponse):
    """A resource and its events."""

    name: str
    vendorName: str
    type: str = "vendor"
    eventsEnabled: bool = True
    eventCreatedSupported: bool = True
    eventUpdatedSupported: bool = True
    eventDeletedSupported: bool = True
    vendorEventTypes: list[str]


class EndpointResponse(ApiResponse):
    """The kind of API that stores have."""

    type: str = "rest"


class BulkMetadataResponse(ApiResponse):
    """Whether bulk jobs are supported."""

    upload: bool = False
    download: bool = False


class DiscoveryResponse(ApiResponse):
    """Whether the fields of a store's objects can be discovered."""

    customFields: bool = False
    customObjects: bool = False
    endpointCustomFields: bool = False
    endpointCustomObjects: bool = False
    crudsSupported: bool = True


class ApiKindResponse(ApiResponse):
    """The API of the stores."""

    type: str = "rest"
    version: str = "wc/v3"
    contentType: str = "application/json"


class ResourceEventsResponse(ApiResponse):
    """The events of a resource."""

    supported: bool = True
    methods: list[str]
    eventTypes: list[str]


class BulkKindResponse(ApiResponse):
    """Whether bulk jobs are supported, and whether the store runs them."""

    supported: bool = False
    native: bool = False


class ResourceBulkResponse(ApiResponse):
    """The bulk jobs of a resource."""

    upload: BulkKindResponse = BulkKindResponse()
    download: BulkKindResponse = BulkKindResponse()


class CustomFieldResponse(ApiResponse):
    """Whether custom fields of a resource can be managed."""

    get: bool = False
    create: bool = False
    update: bool = False
    delete: bool = False


class ElementResourceResponse(ApiResponse):
    """A resource of the hub, and its path at the store."""

    canonicalName: str
    operations: list[str] = pydantic.Field(description="HTTP methods of the list and its objects")
    events: ResourceEventsResponse
    bulk: ResourceBulkResponse = ResourceBulkResponse()
    customField: CustomFieldResponse = CustomFieldResponse()
    method: str = "GET"
    path: str
    vendorPath: str
    type: str = "api"


class MetadataResponse(ApiResponse):
    """What the element can do; the members with the default null only with ``expand``."""

    id: int = ELEMENT.id
    key: str = ELEMENT.key
    name: str = ELEMENT.name
    description: str = ELEMENT.description
    hub: str = ELEMENT.hub
    beta: bool = False
    authentication: AuthenticationResponse = AuthenticationResponse()
    endpoint: EndpointResponse = EndpointResponse()
    normalizedPaging: bool = True
    bulk: BulkMetadataResponse = BulkMetadataResponse()
    events: EventsMetadataResponse
    objects: list[str | ObjectMetadataResponse]
    image: str | None = None
    displayOrder: int | None = None
    active: bool | None = None
    transformations: bool | None = None
    elementType: str | None = None
    churros: bool | None = pydantic.Field(
        None, description="Whether the documented service's own test suite covers the element"
    )
    swaggerValidated: bool | None = None
    cloneable: bool | None = None
    authenticationType: str | None = None
    discovery: DiscoveryResponse | None = None
    api: ApiKindResponse | None = None
    resources: list[ElementResourceResponse] | None = None
