"""An executor that runs its work in the thread that submits it."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import typing as t


class InlinePool(concurrent.futures.ThreadPoolExecutor):
    """Runs what is submitted at once, so that a session has one thread."""

    def submit(
        self, fn: cabc.Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
    ) -> concurrent.futures.Future[t.Any]:
        """Run a function now."""
        done: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        done.set_result(fn(*args, **kwargs))
        return done
