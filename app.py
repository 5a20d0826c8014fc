"""Start the page: ``python app.py``, then open the address it prints."""

from __future__ import annotations

import argparse
import logging
import os
import sys


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the flags; nothing heavy is imported for ``--help``."""
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="Ask about pictures, classify and caption them, hear emotions: a page that answers offline.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at; 0.0.0.0 for the whole network")
    parser.add_argument("--port", type=int, help="port to serve at (default: the first free one from 7860)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where models run")
    parser.add_argument("--share", action="store_true", help="also make a public link; implies --public")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="let in only who knows both")
    parser.add_argument(
        "--public",
        action="store_true",
        help="profile for others: inference only; implied by --share and by a host others reach without --auth",
    )
    parser.add_argument(
        "--max-models", type=int, metavar="N", default=8, help="models in memory at once; the longest unused goes first"
    )
    parser.add_argument(
        "--model-memory",
        type=int,
        metavar="MB",
        help="the same by megabytes of their weights, shared parts counted once; the one in use always stays",
    )
    parser.add_argument(
        "--proxy",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="address or network of a proxy before the page: what its X-Forwarded headers say of visitors counts; "
        "may be given several times; from everybody else such headers are ignored",
    )
    parser.add_argument("--mcp", action="store_true", help="offer the four jobs as tools to assistants (MCP)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until it is stopped; the exit code is 1 when it cannot be served."""
    flags = parse(arguments)
    # before gradio and the hub's library are imported: no telemetry, no version check. A hub is asked only when
    # somebody looks a model up there, and never on a page for strangers; HF_HUB_OFFLINE=1 forbids that too
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if flags.public or flags.share:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for name in ("no_proxy", "NO_PROXY"):  # this machine is never reached through a proxy
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "localhost", "127.0.0.1", "::1"]))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)

    from mmdemo.core.errors import MmdemoError
    from mmdemo.ui.launch import Options, parse_auth, serve

    try:
        serve(
            Options(
                host=flags.host,
                port=flags.port,
                device=flags.device,
                share=flags.share,
                auth=parse_auth(flags.auth),
                public=flags.public,
                mcp=flags.mcp,
                max_models=flags.max_models,
                model_memory=flags.model_memory,
                proxies=tuple(flags.proxy),
            )
        )
    except MmdemoError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
