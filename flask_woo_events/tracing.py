"""Tracing: spans of OpenTelemetry, and the trace contexts that rows keep between processes.

The application sets up OpenTelemetry's SDK. Without the package ``opentelemetry-api``, or while no
SDK is set up, no function does anything. A stored context is a ``traceparent`` of W3C Trace
Context, followed by a space and the ``tracestate`` if there is one.

Spans hold names, ids, counts and statuses. They never hold an address's query, a header, a body or
the text of an error, which may quote data of customers.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import functools
import logging
import re
import types
import typing as t
import urllib.parse

if t.TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context

_log = logging.getLogger(__name__)

#: The instrumentation scope of all spans.
SCOPE = "flask_woo_events"
#: Longest ``tracestate`` that is kept, characters; W3C requires as much of those who pass it on.
TRACESTATE_CHARS = 512
#: Characters of a ``traceparent``, and of a stored context at most.
TRACEPARENT_CHARS = 55
STORED_CHARS = TRACEPARENT_CHARS + 1 + TRACESTATE_CHARS
#: Links of one span at most.
MOST_LINKS = 100
#: Version 00 alone: what a later one means is not known.
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
#: A member of ``tracestate``, and how many it may have.
_MEMBER = re.compile(
    r"([a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?)=([!-+\--<>-~ ]{1,256})"
)
MOST_MEMBERS = 32
#: The flags that are known: sampled, and a random trace id.
_FLAGS = 0x03
#: The keys under which a context holds the attributes of all spans below it, and its other cause.
_ATTRIBUTES, _CAUSE = "woo-events-attributes", "woo-events-cause"

Kind = t.Literal["internal", "server", "client"]
Attributes = cabc.Mapping[str, t.Any]
P = t.ParamSpec("P")
R = t.TypeVar("R")


@dataclasses.dataclass(frozen=True, slots=True)
class _Api:
    """The modules of ``opentelemetry-api``, and the tracer of the application's provider."""

    tracer: trace.Tracer
    trace: types.ModuleType
    context: types.ModuleType


#: The modules ``context`` and ``trace``: not imported yet, or ``False`` if they are not installed.
_modules: tuple[types.ModuleType, types.ModuleType] | t.Literal[False] | None = None
#: The provider that was last asked, and what it gave.
_known: tuple[object, _Api | None] = (None, None)
#: In place of a provider that could not be asked.
_FAILED = object()


def _harmless(fallback: t.Any) -> cabc.Callable[[cabc.Callable[P, R]], cabc.Callable[P, R]]:
    """Have a function return something else when the application's SDK fails, which is logged."""

    def decorate(function: cabc.Callable[P, R]) -> cabc.Callable[P, R]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception:
                _log.warning("OpenTelemetry failed", exc_info=True, extra={"action": "trace"})
                return t.cast("R", fallback)

        return guarded

    return decorate


def _api() -> _Api | None:
    global _known
    try:
        return _api_now()
    except Exception:
        # For example, the environment names a provider that is not installed.
        if _known[0] is not _FAILED:
            _log.warning("OpenTelemetry cannot be used", exc_info=True, extra={"action": "trace"})
        _known = _FAILED, None
        return None


def _api_now() -> _Api | None:
    global _modules, _known
    if _modules is False:
        return None
    if _modules is None:
        # Not before it is used, since other applications would import it in vain.
        try:
            from opentelemetry import context, trace
        except ImportError:
            _modules = False
            return None
        _modules = context, trace
    context, trace = _modules
    provider, api = _known
    if provider is not None and api is None and getattr(trace, "_TRACER_PROVIDER", True) is None:
        # Still none. To ask for it would search the environment, each time.
        return None
    now = trace.get_tracer_provider()
    if now is not provider:
        is_set = not isinstance(now, trace.ProxyTracerProvider)
        api = _Api(now.get_tracer(SCOPE), trace, context) if is_set else None
        _known = now, api
    return api


def is_on() -> bool:
    """Return whether the application has set up an SDK."""
    return _api() is not None


class Span:
    """What a ``with`` block does; without tracing, nothing."""

    __slots__ = ()

    def __enter__(self) -> t.Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        pass

    def set(self, **attributes: object) -> None:
        """Set attributes of the span, ``woo_events.NAME`` each."""

    def answered(self, status: int) -> None:
        """Set the status of the answer to the request that the span is about."""

    @property
    def stored(self) -> str | None:
        """The context to be stored, so that later spans continue it."""
        return None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that make a request to another host a part of the trace.

        Without ``tracestate``: other hosts need not know the provider of the application's traces.
        """
        stored = self.stored
        return {} if stored is None else {"traceparent": stored[:TRACEPARENT_CHARS]}


_OFF = Span()


class _Within(Span):
    """Makes a context the current one for a block."""

    __slots__ = ("_api", "_context", "_token")

    def __init__(self, api: _Api, context: Context) -> None:
        self._api = api
        self._context = context
        self._token: object = None

    def __enter__(self) -> t.Self:
        self._attach()
        return self

    @_harmless(None)
    def _attach(self) -> None:
        self._token = self._api.context.attach(self._context)

    @_harmless(None)
    def _detach(self) -> None:
        if self._token is not None:
            self._api.context.detach(self._token)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._detach()


class _Spanned(_Within):
    """Makes a span the current one for a block, and ends it."""

    __slots__ = ("_is_server", "_span")

    def __init__(self, api: _Api, context: Context, span: trace.Span, *, is_server: bool) -> None:
        super().__init__(api, context)
        self._span = span
        self._is_server = is_server

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        super().__exit__(kind, value, trace)
        if kind is not None:
            self._fail(kind.__name__)
        self._end()

    @_harmless(None)
    def _end(self) -> None:
        self._span.end()

    @_harmless(None)
    def set(self, **attributes: object) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(f"woo_events.{name}", t.cast("t.Any", value))

    @_harmless(None)
    def answered(self, status: int) -> None:
        self._span.set_attribute("http.response.status_code", status)
        if status >= (500 if self._is_server else 400):
            self._fail(str(status))

    @property
    @_harmless(None)
    def stored(self) -> str | None:
        return _stored(self._span.get_span_context())

    @_harmless(None)
    def _fail(self, kind: str) -> None:
        # Not its text, and not its traceback, which record_exception would add.
        self._span.set_attribute("error.type", kind)
        self._span.set_status(self._api.trace.StatusCode.ERROR)


@_harmless(_OFF)
def within(stored: str | None, **attributes: object) -> Span:
    """Return a block whose spans continue a stored context.

    :param stored: ``None`` continues what the block is in.
    :param attributes: of all spans in the block, ``woo_events.NAME`` each.
    """
    api = _api()
    if api is None:
        return _OFF
    inherited = api.context.get_value(_ATTRIBUTES) or {}
    ours = {f"woo_events.{name}": one for name, one in attributes.items()}
    context = api.context.set_value(_ATTRIBUTES, {**t.cast(Attributes, inherited), **ours})
    return _Within(api, _continued(api, stored, context))


@_harmless(_OFF)
def span(
    name: str,
    kind: Kind = "internal",
    *,
    causes: cabc.Iterable[str | None] = (),
    links: cabc.Iterable[str | None] = (),
    attributes: Attributes | None = None,
) -> Span:
    """Return a block with a span of its own.

    :param causes: stored contexts; the span continues a single one, and is linked to several.
    :param links: stored contexts that the span is linked to.
    """
    api = _api()
    if api is None:
        return _OFF
    distinct = list(dict.fromkeys(filter(None, causes)))
    context = api.context.get_current()
    if len(distinct) == 1:
        context, distinct = _continued(api, distinct[0], context), []
    inherited = t.cast(Attributes, api.context.get_value(_ATTRIBUTES, context) or {})
    found = [_parse(api, one) for one in dict.fromkeys([*distinct, *filter(None, links)])]
    found.append(t.cast("trace.SpanContext | None", api.context.get_value(_CAUSE, context)))
    if kind == "server" and api.trace.get_current_span(context).get_span_context().is_valid:
        # The application's own instrumentation has a span for the request.
        kind = "internal"
    started = api.tracer.start_span(
        name,
        context,
        kind=api.trace.SpanKind[kind.upper()],
        attributes={**inherited, **(attributes or {})},
        links=[api.trace.Link(one) for one in found[-MOST_LINKS:] if one is not None],
    )
    context = api.context.set_value(_CAUSE, None, context)
    context = api.trace.set_span_in_context(started, context)
    return _Spanned(api, context, started, is_server=kind == "server")


def request(method: str, url: str, template: cabc.Callable[[], str] = lambda: "") -> Span:
    """Return a block with the client span of one HTTP request.

    :param url: only its host and port are kept.
    :param template: returns the path with placeholders in place of ids, without a query.
    """
    if not is_on():
        return _OFF
    path = template()
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return _OFF  # the request fails, too
    attributes = {
        "http.request.method": method,
        "server.address": parts.hostname or "",
        "server.port": port,
    }
    if path:
        attributes["url.path"] = path
    return span(f"{method} {path}".rstrip(), "client", attributes=attributes)


@_harmless(None)
def current() -> str | None:
    """Return the current span's context to be stored; ``None`` without a span of this process."""
    api = _api()
    return None if api is None else _stored(api.trace.get_current_span().get_span_context())


@_harmless(None)
def of_events(causes: cabc.Iterable[str | None]) -> str | None:
    """Return the context to be stored with events that are recorded in the current span.

    :param causes: the stored contexts of what named their objects. Events that have a single one,
        of another trace, get a span in that trace, linked to the current one.
    """
    api = _api()
    if api is None:
        return None
    here = current()
    found = set(causes)
    cause = next(iter(found)) if len(found) == 1 else None
    if here is None or cause is None or cause[:35] == here[:35]:
        return here
    with span("woo_events.event", causes=[cause]) as event:
        return event.stored


@_harmless(None)
def read(traceparent: str | None, tracestate: str | None = None) -> str | None:
    """Return the context that a request from outside carries, to be stored, or linked to.

    Anyone can send anything: what is not exactly a ``traceparent`` is ignored, and a
    ``tracestate`` that is not well formed, or too long, is left out.
    """
    api = _api() if traceparent else None
    if api is None:
        return None
    stored = f"{traceparent} {tracestate}" if tracestate else traceparent
    found = _parse(api, stored)
    return None if found is None else _format(found)


def _continued(api: _Api, stored: str | None, context: Context) -> Context:
    """Return a context in which spans continue a stored one, linked to the current span."""
    parent = _parse(api, stored)
    if parent is None:
        return context
    before = api.trace.get_current_span(context).get_span_context()
    context = api.context.set_value(_CAUSE, before if before.is_valid else None, context)
    return t.cast(
        "Context", api.trace.set_span_in_context(api.trace.NonRecordingSpan(parent), context)
    )


def _parse(api: _Api, stored: str | None) -> trace.SpanContext | None:
    parent, _, state = (stored or "").partition(" ")
    match = _TRACEPARENT.fullmatch(parent)
    if match is None:
        return None
    trace_id, span_id, flags = (int(one, 16) for one in match.groups())
    kept = api.trace.TraceState(_members(state))
    made = api.trace.SpanContext(
        trace_id, span_id, True, api.trace.TraceFlags(flags & _FLAGS), kept
    )
    return t.cast("trace.SpanContext", made) if made.is_valid else None


def _members(state: str) -> list[tuple[str, str]]:
    """Return the members of a ``tracestate``; none if it is not well formed, or too long."""
    if not state or len(state) > TRACESTATE_CHARS:
        return []
    matches = [_MEMBER.fullmatch(one.strip(" \t")) for one in state.split(",") if one.strip(" \t")]
    found = {match[1]: match[2] for match in matches if match is not None}
    return list(found.items()) if len(found) == len(matches) <= MOST_MEMBERS else []


def _stored(found: trace.SpanContext) -> str | None:
    # A span without an SDK has the context that it continues, which is another process's.
    return None if found.is_remote or not found.is_valid else _format(found)


def _format(found: trace.SpanContext) -> str:
    flags = found.trace_flags & _FLAGS
    text = f"00-{found.trace_id:032x}-{found.span_id:016x}-{flags:02x}"
    state = found.trace_state.to_header()
    return f"{text} {state}" if 0 < len(state) <= TRACESTATE_CHARS else text
