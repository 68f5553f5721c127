"""The control route: changes that only the store's own side can make, requested over HTTP."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from .encoding import Json
from .responses import RestError, SimulatedResponse, answer, no_route
from .store_side import StoreSide

#: In the index of a store that has the route; no WordPress has it.
NAMESPACE = "flask-woo-events-simulator/v1"
#: Beginning of the route; the name of an action follows.
PATH = f"/wp-json/{NAMESPACE}/"


class Control:
    """Performs actions of the store's own side; it is closed until :meth:`open`."""

    def __init__(self, acts: StoreSide) -> None:
        self.is_open = False
        self._acts: dict[str, cabc.Callable[..., int]] = {
            "new-user": acts.new_user,
            "role": acts.role,
            "price-meta": acts.price_meta,
        }

    def open(self) -> None:
        """Accept requests."""
        self.is_open = True

    def respond(self, method: str, path: str, body: Json) -> SimulatedResponse:
        """Perform an action with the arguments of the body; answer with the object's id.

        :raises RestError: the route is closed, there is no such action, or an argument is wrong.
        """
        act = self._acts.get(path.removeprefix(PATH))
        if not self.is_open or act is None or method != "POST":
            raise no_route()
        arguments: t.Any = body.get("arguments")
        try:
            return answer({"id": act(*arguments)})
        except (KeyError, TypeError, ValueError) as exc:
            raise RestError(400, "simulator_invalid_arguments", f"Wrong arguments: {exc}") from exc
