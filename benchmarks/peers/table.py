"""The results as a Markdown table and as JSON."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import json

from .acts import CHANGES
from .drifts import DRIFTS
from .running import AFTERWARDS, SHOP, Result

_NOTES = """\
{shop}; a sync after each of the 40 acts and {more} more.
reported: a row with the new content, or the deletion, before the object changed again; in brackets
deletions that were not reported but show in a complete listing. false: rows without anything new,
or with something wrong. duplicate: rows that repeat a reported change. lost: orders that the peer
believes to be other than they are, {more} syncs after the drift."""


def markdown(results: cabc.Sequence[Result], scale: int) -> str:
    """Return the table, with notes on its columns."""
    lost = [f"lost: {name}" for name in DRIFTS]
    head = ["peer", "version", f"reported of {CHANGES}", "false", "duplicate", *lost, "requests"]
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(_cells(result, len(head))) for result in results]
    shop = ", ".join(f"{count * scale:,} {kind}" for kind, count in SHOP.items())
    return "\n".join(lines) + "\n\n" + _NOTES.format(shop=shop, more=AFTERWARDS)


def as_json(results: cabc.Sequence[Result]) -> str:
    """Return the figures, with every missed change and every lost order."""
    return json.dumps([dataclasses.asdict(result) for result in results], indent=2)


def _cells(result: Result, width: int) -> list[str]:
    score = result.score
    if score is None:
        cells = [result.title, result.version, f"not run: {result.reason}"]
        return cells + [""] * (width - len(cells))
    told = f"{score.told} (+{score.by_absence})" if score.by_absence else str(score.told)
    lost = [str(len(result.lost[name])) for name in DRIFTS]
    counts = [told, str(score.false), str(score.duplicates), *lost]
    return [result.title, result.version, *counts, f"{result.requests} in {result.syncs} syncs"]


def _line(cells: cabc.Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
