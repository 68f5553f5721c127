"""One run of a typical cron script: the ``woocommerce`` package and a date cursor.

Each resource is read page by page in the order of the modified date, from the latest date of the
previous run; customers have no date filter and are read in full. The cursor comes from the rows,
not from the computer's clock, which is the better of the two common ways.
"""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

from woocommerce import API  # type: ignore[import-not-found,import-untyped,unused-ignore]

BY_DATE = ("orders", "products", "coupons")
START = "2020-01-01T00:00:00"


def pages(api: t.Any, path: str, params: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    """Yield every row of a listing."""
    number = 1
    while True:
        answer = api.get(path, params={**params, "per_page": 100, "page": number})
        answer.raise_for_status()
        rows = answer.json()
        yield from rows
        if len(rows) < 100:
            return
        number += 1


def main() -> None:
    """Run once."""
    task = json.loads(sys.argv[1])
    kept = pathlib.Path(task["state"]) / "cursors.json"
    cursors = json.loads(kept.read_text()) if kept.exists() else dict.fromkeys(BY_DATE, START)
    api = API(task["url"], task["key"], task["secret"], version="wc/v3", timeout=60)
    for resource in (*BY_DATE, "customers"):
        params = {"orderby": "id", "order": "asc"}
        if resource in BY_DATE:
            params["orderby"] = "modified"
            params |= {"modified_after": cursors[resource], "dates_are_gmt": "true"}
        for row in pages(api, resource, params):
            print(json.dumps({"resource": resource, "id": row["id"], "body": row}))
            if resource in BY_DATE:
                cursors[resource] = max(cursors[resource], row["date_modified_gmt"])
    kept.write_text(json.dumps(cursors))


if __name__ == "__main__":
    main()
