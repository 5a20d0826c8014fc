"""Memory over many requests, on this machine only: ``python -m scripts.soak --requests 5000``.

Sends the mixed requests of the load test from four clients and notes what memory the program holds every ``--every``
requests. The figure that counts is what it holds at the end over what it held after the first ``--settled`` requests;
1 is returned where that is more than ``--allowed``. Afterwards each job is asked for 200 times on its own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from scripts.load import FLAGS, describe
from scripts.load_client import App, running, send
from scripts.load_inputs import MIX, Request, requests

CLIENTS = 4


def main() -> int:
    """Print the memory held as the requests go by."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--every", type=int, default=200, help="requests between two looks at the memory")
    parser.add_argument("--settled", type=int, default=200, help="requests after which memory should stay where it is")
    parser.add_argument("--allowed", type=float, default=5.0, help="per cent that it may grow from there")
    parser.add_argument("--profile", choices=tuple(FLAGS), default="public")
    parser.add_argument("--each-job", type=int, default=200, help="requests of each job on its own, afterwards")
    given = parser.parse_args()
    describe()
    with running(FLAGS[given.profile]) as app:
        growth = soak(app, given.requests, given.every, given.settled)
        for job in MIX if given.each_job else ():
            some = [request for request in requests(40 * given.each_job, seed=77) if request.job == job]
            before = app.resident()
            run(app, some[: given.each_job])
            print(f"{given.each_job} × {job}: {before / 1e6:.0f} MB, then {app.resident() / 1e6:.0f} MB", flush=True)
    print(f"memory at the end over that after {given.settled} requests: {growth:+.1f} %")
    return int(growth > given.allowed)


def soak(app: App, count: int, every: int, settled: int) -> float:
    """Send the requests; how much more memory is held at the end than after ``settled`` of them, in per cent."""
    seed, sent, base = 0, 0, 0
    run(app, requests(20, seed=9_999))  # every model is loaded
    while sent < count:
        seed += 1
        step = min(every, count - sent, settled - sent if sent < settled else every)
        run(app, requests(step, seed))
        sent += step
        held = app.resident()
        if sent <= settled:
            base = held
        print(f"{sent:6d} requests  {held / 1e6:7.0f} MB  {100 * (held / base - 1):+.1f} %", flush=True)
    return 100 * (app.resident() / base - 1)


def run(app: App, some: list[Request]) -> None:
    """Send requests; nothing may fail.

    Raises:
        SystemExit: Something did.
    """
    tally = asyncio.run(send(app.url, some, CLIENTS))
    if tally.failures:
        raise SystemExit(f"requests failed: {dict(tally.failures)}")


if __name__ == "__main__":
    sys.exit(main())
