"""Deletions: requests of the polls that find them, compared with reading every page."""

from __future__ import annotations

import random

from flask_woo_events.runtime import EXTENSION
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.worker.worker import Worker

from .polling import application, create_instance, poll

ORDERS = 100_000
PAGES = ORDERS // 100


def main() -> None:
    """Delete 1, 10 and 100 of 100,000 orders; count the requests until all events are sent."""
    store = SimulatedStore("11.0", consumer_key="ck_bench", consumer_secret="cs_bench")
    store.populate(orders=ORDERS, products=1, coupons=0, customers=1)
    receiver, rng = CallbackReceiver(), random.Random(1)
    print(f"deletions: {ORDERS:,} orders; a full read takes {PAGES:,} pages")
    with application() as app, store.serve() as url, receiver.serve() as callback_url:
        runtime = app.extensions[EXTENSION]
        instance = create_instance(app, url, callback_url, ("orders",))
        poll(runtime, instance)
        idle = sum(report.requests for report in poll(runtime, instance)[0])
        print(f"  none      {idle:>4} requests in an idle poll")
        for count in (1, 10, 100):
            deleted = {str(one) for one in rng.sample(sorted(store.truth("orders")), count)}
            for one in deleted:
                store.acts.delete_for_good("orders", int(one))
            requests = polls = 0
            receiver.clear()
            while {number for _resource, number, kind in receiver.events} != deleted:
                reports, _seconds, _cpu = poll(runtime, instance)
                Worker(runtime).deliver_once()
                requests += sum(report.requests for report in reports)
                polls += 1
            extra = requests - polls * idle
            print(
                f"  {count:<9} {extra:>4} extra requests in {polls} poll{'s'[: polls - 1]}: "
                f"{extra / PAGES:.3f} of a full read"
            )


if __name__ == "__main__":
    main()
