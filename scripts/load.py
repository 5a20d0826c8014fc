"""Many clients at once, on this machine only: ``python -m scripts.load --clients 1,4,16,50 --requests 5000``.

For each profile and each number of clients the program is started anew and sent the same requests, each with a picture
or clip of its own. An answer counts only where it names its request's file, question and labels, and where it says
what the first run of that profile got for the same request. A client that is told "busy" waits and asks again; its
waiting is part of its time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import psutil

from scripts.load_client import ROOT, App, Tally, differs, running, send
from scripts.load_inputs import Request, requests

FLAGS: Mapping[str, tuple[str, ...]] = {"own": (), "public": ("--public",)}
"""Flags of the program for each profile."""

WARM = 40
"""Requests that are sent before anything is measured: every model is loaded, and every kernel chosen."""

HEAD = ("profile", "clients", "n", "per s", "p50 s", "p95 s", "max s", "busy", "errors", "differ", "MB before", "after")


def main() -> int:
    """Print one row for each profile and number of clients; 1 where a request failed or got another's answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", default="1,4,16,50", help="numbers of clients, with commas between them")
    parser.add_argument("--requests", type=int, default=5_000, help="for each profile, over all numbers of clients")
    parser.add_argument("--profile", choices=(*FLAGS, "both"), default="both", help="which page is served")
    parser.add_argument("--seed", type=int, default=1, help="of pictures, clips and questions")
    given = parser.parse_args()
    counts = [int(count) for count in given.clients.split(",")]
    todo = requests(max(given.requests // len(counts), 1), given.seed)
    describe()
    print(f"making {len(todo)} pictures and clips …", file=sys.stderr, flush=True)
    for request in todo:
        _ = request.file  # kept; nothing is made while time is taken
    print(line(HEAD))
    failed = False
    for profile in [given.profile] if given.profile != "both" else list(FLAGS):
        first: dict[str, dict[str, Any]] = {}
        alone = 0.0
        for count in counts:
            with running(FLAGS[profile]) as app:
                tally, different = measure(app, todo, count, first, profile)
            rate = len(tally.all_seconds()) / tally.wall
            alone = alone or rate
            print(f"  {rate / alone:.2f} times the throughput of {counts[0]}", flush=True)
            for kind, times in (tally.failures + tally.busy).most_common(6):
                print(f"  {times} × {kind}", flush=True)
            failed = failed or bool(tally.failures) or different > 0
    return int(failed)


def measure(
    app: App, todo: list[Request], clients: int, first: dict[str, dict[str, Any]], profile: str
) -> tuple[Tally, int]:
    """Send the requests and print a row; ``first`` takes the answers of the first run, later ones are held to it."""
    warm = asyncio.run(send(app.url, requests(WARM, seed=9_999), 2))
    if warm.failures:
        raise SystemExit(f"The program does not answer: {dict(warm.failures)}")
    before = app.resident()
    tally = asyncio.run(send(app.url, todo, clients))
    after = app.resident()
    if not first:
        first.update(tally.answers)
    different = sum(differs(first[name], answer) for name, answer in tally.answers.items() if name in first)
    seconds = np.array(tally.all_seconds() or [float("nan")])
    p50, p95 = np.percentile(seconds, [50, 95])
    print(
        line(
            (
                profile,
                clients,
                len(todo),
                f"{len(tally.all_seconds()) / tally.wall:.1f}",
                *(f"{value:.2f}" for value in (p50, p95, seconds.max())),
                sum(tally.busy.values()),
                sum(tally.failures.values()),
                different,
                before // 10**6,
                after // 10**6,
            )
        ),
        flush=True,
    )
    per_job = ", ".join(
        f"{job} {np.median(values):.2f}/{np.percentile(values, 95):.2f}"
        for job, values in sorted(tally.seconds.items())
    )
    print(f"  p50/p95 by job: {per_job}", flush=True)
    return tally, different


def line(cells: tuple[object, ...]) -> str:
    """One row of the table."""
    widths = (8, 8, 6, 7, 7, 7, 7, 6, 7, 7, 10, 7)
    return "".join(f"{cell!s:>{width}}" for cell, width in zip(cells, widths, strict=True))


def describe() -> None:
    """Say what machine this is: figures mean nothing without it."""
    memory = psutil.virtual_memory().total / 2**30
    load = " ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "?"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    when = time.strftime("%Y-%m-%d")
    print(f"{platform.machine()}, {cores} cores, {memory:.0f} GB, load before {load}, {when}, {ROOT.name}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
