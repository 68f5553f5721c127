"""One sync of tap-woocommerce, the Singer tap of the package index, by its own command line.

It has one stream, orders, which it reads by the created date; its bookmark is passed from sync to
sync. It passes on some fields of each order and converts numbers and dates. Only the fields that it
does not convert are compared.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

#: Fields that the tap does not convert.
VERBATIM = ("order_key", "status")
#: Before the first object of the store.
START = "2020-01-01T00:00:00Z"


def main() -> None:
    """Sync once."""
    task = json.loads(sys.argv[1])
    folder = pathlib.Path(task["state"])
    config, catalog, state = (folder / f"{name}.json" for name in ("config", "catalog", "state"))
    config.write_text(
        json.dumps(
            {
                "url": f"{task['url']}/",
                "consumer_key": task["key"],
                "consumer_secret": task["secret"],
                "start_date": START,
            }
        )
    )
    if not catalog.exists():
        found = _run("--config", str(config), "--discover")
        streams = json.loads(found)
        for stream in streams["streams"]:
            stream["schema"]["selected"] = True
        catalog.write_text(json.dumps(streams))
    arguments = ["--config", str(config), "--catalog", str(catalog)]
    if state.exists():
        arguments += ["--state", str(state)]
    for line in _run(*arguments).splitlines():
        message = json.loads(line)
        if message["type"] == "STATE":
            state.write_text(json.dumps(message["value"]))
        elif message["type"] == "RECORD":
            record = message["record"]
            body = {name: record[name] for name in VERBATIM}
            print(json.dumps({"resource": "orders", "id": record["order_id"], "body": body}))


def _run(*arguments: str) -> str:
    command = ["tap-woocommerce", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
