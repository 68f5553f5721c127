"""The results as a Markdown table and as JSON."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import json

from .actions import CHANGES
from .drifts import DRIFTS
from .running import EXTRA_SYNCS, SHOP, Result

_NOTES = """\
{shop}; a sync after each of the 40 actions and {more} more.
reported: a row with the new content, or the deletion, before the object changed again; in brackets
deletions that were not reported but show in a complete listing. false: rows with unchanged or wrong
content. repeated: rows that report a reported change again. lost: orders of which the peer has the
wrong state {more} syncs after the drift."""


def markdown(results: cabc.Sequence[Result], scale: int) -> str:
    """Return the table and the meaning of its columns."""
    lost = [f"lost: {name}" for name in DRIFTS]
    head = ["peer", "version", f"reported of {CHANGES}", "false", "repeated", *lost, "requests"]
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(_cells(result, len(head))) for result in results]
    shop = ", ".join(f"{count * scale:,} {kind}" for kind, count in SHOP.items())
    return "\n".join(lines) + "\n\n" + _NOTES.format(shop=shop, more=EXTRA_SYNCS)


def as_json(results: cabc.Sequence[Result]) -> str:
    """Return all figures, with every missed change and every lost order."""
    return json.dumps([dataclasses.asdict(result) for result in results], indent=2)


def _cells(result: Result, width: int) -> list[str]:
    score = result.score
    if score is None:
        cells = [result.title, result.version, f"not run: {result.reason}"]
        return cells + [""] * (width - len(cells))
    reported = str(score.reported)
    if score.by_absence:
        reported += f" (+{score.by_absence})"
    lost = [str(len(result.lost[name])) for name in DRIFTS]
    counts = [reported, str(score.false), str(score.duplicates), *lost]
    return [result.title, result.version, *counts, f"{result.requests} in {result.syncs} syncs"]


def _line(cells: cabc.Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
