"""One incremental read of Airbyte's source-woocommerce, by its own command line.

The connector is the release on the package index, which contains its manifest. Orders, products and
coupons are read incrementally with the state of the previous read; customers have no incremental
mode and are read in full, as Airbyte does. It reads up to the computer's time
(``modified_before``), so the store uses the computer's clock and every action is more than a second
old when a read begins. The destination merges by id (``append_dedup``), so the last row of an id
counts.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import typing as t

INCREMENTAL = ("orders", "products", "coupons")
FULL = ("customers",)
#: Before the first object of the store.
START = "2020-01-01"


def stream(name: str) -> dict[str, t.Any]:
    """Return a configured stream of the catalogue."""
    modes = ["full_refresh", "incremental"] if name in INCREMENTAL else ["full_refresh"]
    return {
        "stream": {"name": name, "json_schema": {}, "supported_sync_modes": modes},
        "sync_mode": modes[-1],
        "destination_sync_mode": "append_dedup" if name in INCREMENTAL else "overwrite",
        "cursor_field": ["date_modified_gmt"],
        "primary_key": [["id"]],
    }


def write(path: pathlib.Path, content: object) -> str:
    """Write a JSON file and return its path."""
    path.write_text(json.dumps(content))
    return str(path)


def main() -> None:
    """Read once."""
    task = json.loads(sys.argv[1])
    folder = pathlib.Path(task["state"])
    config = {
        "shop": task["url"].removeprefix("https://"),
        "api_key": task["key"],
        "api_secret": task["secret"],
        "start_date": START,
    }
    kept = folder / "states.json"
    states = json.loads(kept.read_text()) if kept.exists() else {}
    command = ["source-woocommerce", "read"]
    command += ["--config", write(folder / "config.json", config)]
    streams = [stream(name) for name in INCREMENTAL + FULL]
    command += ["--catalog", write(folder / "catalog.json", {"streams": streams})]
    if states:
        command += ["--state", write(folder / "state.json", list(states.values()))]
    rows: dict[tuple[str, int], dict[str, t.Any]] = {}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message["type"] == "RECORD":
            record = message["record"]
            rows[record["stream"], record["data"]["id"]] = record["data"]
        elif message["type"] == "STATE":
            state = message["state"]
            states[state["stream"]["stream_descriptor"]["name"]] = state
    write(kept, {name: state for name, state in states.items() if name in INCREMENTAL})
    for (resource, number), body in rows.items():
        print(json.dumps({"resource": resource, "id": number, "body": body}))


if __name__ == "__main__":
    main()
