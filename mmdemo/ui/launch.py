"""From flags to a served page: installation check, port, profile for others, share link, warm models."""

from __future__ import annotations

import importlib
import importlib.metadata
import ipaddress
import logging
import socket
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from mmdemo.core.errors import MmdemoError
from mmdemo.core.memory import share_heaps
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT

if TYPE_CHECKING:
    import gradio as gr

    from mmdemo.serving.engine import Engine
    from mmdemo.ui.web.addresses import Trust
    from mmdemo.ui.web.stopping import Stop

log = logging.getLogger("mmdemo")

DEFAULT_PORT = 7860
PORTS_TRIED = 100
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said. ``port`` None means the first free one from :data:`DEFAULT_PORT`."""

    host: str = "127.0.0.1"
    port: int | None = None
    device: str = "auto"
    share: bool = False
    auth: tuple[str, str] | None = None
    public: bool = False
    mcp: bool = False
    max_models: int = 8
    model_memory: int | None = None
    proxies: tuple[str, ...] = ()

    @property
    def max_bytes(self) -> int | None:
        """``model_memory``, which is in megabytes (10^6 bytes), in bytes."""
        return None if self.model_memory is None else self.model_memory * 1_000_000

    @property
    def reachable(self) -> bool:
        """Whether other machines can reach the host."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() != "localhost"

    @property
    def public_because(self) -> str:
        """Why the page is built for others, "" when it is not."""
        if self.share:
            return "--share lets others in"
        if self.public:
            return "--public was given"
        if self.reachable and self.auth is None:
            return f"others can reach {self.host} and there is no --auth"
        if self.proxies and self.auth is None:
            return "others come through --proxy and there is no --auth"
        return ""


def parse_auth(value: str | None) -> tuple[str, str] | None:
    """``USER:PASSWORD`` in two.

    Raises:
        MmdemoError: One of them is missing.
    """
    if value is None:
        return None
    user, _, password = value.partition(":")
    if not user or not password:
        raise MmdemoError("--auth cannot be used", "it needs a user and a password", "Write --auth USER:PASSWORD")
    return user, password


def check_limits(options: Options) -> None:
    """Refuse a limit that no model would fit.

    Raises:
        MmdemoError: Naming the flag.
    """
    for flag, value in (("--max-models", options.max_models), ("--model-memory", options.model_memory)):
        if value is not None and value < 1:
            raise MmdemoError(f"{flag} cannot be {value}", "one model at least has to fit", "Give 1 or more")


def check_installation() -> None:
    """Refuse a Python or a pair of torch and torchvision that cannot work, before anything heavy is imported.

    Raises:
        MmdemoError: Says what to install.
    """
    if sys.version_info < OLDEST_PYTHON:
        have = f"{sys.version_info.major}.{sys.version_info.minor}"
        need = ".".join(map(str, OLDEST_PYTHON))
        raise MmdemoError(
            "This Python is too old", f"it is {have} and {need} is needed", "Make the environment with a newer one"
        )
    again = "Install both together: python -m pip install -r requirements.txt"
    try:
        torch = importlib.metadata.version("torch")
        torchvision = importlib.metadata.version("torchvision")
        wanted = importlib.metadata.requires("torchvision") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise MmdemoError(f"{error.name} is not installed", "", again) from None
    pinned = next(
        (entry.partition("==")[2].split(";")[0].strip() for entry in wanted if entry.startswith("torch==")), ""
    )
    number, _, build = torch.partition("+")
    if pinned and number != pinned.partition("+")[0]:
        raise MmdemoError(
            "torch and torchvision do not belong together",
            f"torchvision {torchvision} is made for torch {pinned} and torch {torch} is installed",
            again,
        )
    if build != torchvision.partition("+")[2]:  # wheels of two indexes; some such pairs fail at import
        try:
            importlib.import_module("torchvision")
        except Exception as error:
            raise MmdemoError(
                "torch and torchvision do not work together",
                f"torch {torch} and torchvision {torchvision} come from two different builds",
                "Install both from the same index: python -m pip install --force-reinstall torch torchvision",
            ) from error


def find_port(host: str, port: int | None) -> int:
    """The given port, or the first free one from :data:`DEFAULT_PORT`.

    Raises:
        MmdemoError: The given port is taken, or none is free.
    """
    for candidate in [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except (OSError, OverflowError) as error:
                reason = str(getattr(error, "strerror", "") or error)
                continue
        return candidate
    if port is not None:
        raise MmdemoError(
            f"Port {port} of {host} cannot be used", reason.lower(), "Choose another --port, or leave it out"
        )
    last = DEFAULT_PORT + PORTS_TRIED - 1
    raise MmdemoError(
        f"No port of {host} from {DEFAULT_PORT} to {last} is free", reason.lower(), "Give one with --port"
    )


def warm(engine: Engine) -> None:
    """Load the default models in the order of the tabs, so that the first answers do not wait for it."""
    import numpy as np

    from mmdemo.core.types import SAMPLE_RATE
    from mmdemo.serving import jobs

    picture = np.full((64, 64, 3), 127, dtype=np.uint8)
    tone = np.sin(np.arange(SAMPLE_RATE) * 0.05).astype(np.float32) * 0.1
    steps = (
        (ASK, lambda: jobs.ask(picture, "what is this?", engine=engine)),
        (CLASSIFY, lambda: jobs.classify(picture, "cat, dog", engine=engine)),
        (CAPTION, lambda: jobs.caption(picture, n=1, max_words=3, engine=engine)),
        (SENTIMENT, lambda: jobs.sentiment((SAMPLE_RATE, tone), engine=engine)),
    )
    for task, step in steps:
        try:
            step()
        except MmdemoError as error:
            log.warning("%s: %s", task, error)
        except Exception:  # a page without one model is still a page; each answer says it again in plain words
            log.exception("the model for %s could not be prepared", task)


def open_share_link(demo: gr.Blocks, host: str, port: int, local: str, trust: Trust) -> None:
    """Ask gradio's tunnel for a public address and print it, or say plainly that there is none.

    Runs beside the page that is already served: the tunnel's own time limits (half a minute for each of its three
    steps) never keep anybody waiting. Once there is a link, ``trust`` knows its name.
    """
    from gradio import networking

    try:
        address = networking.setup_tunnel(
            local_host=host,
            local_port=port,
            share_token=demo.share_token,
            share_server_address=None,
            share_server_tls_certificate=None,
        )
    except Exception as error:
        log.debug("no tunnel", exc_info=error)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        announce(f"No public link could be made: {reason.rstrip('.')}. The page goes on at {local}")
        return
    trust.tunnel_host = urlsplit(address).netloc
    announce(f"Public link for up to a week, for everybody who has it: {address.replace('http://', 'https://', 1)}")


def announce(sentence: str) -> None:
    """One line for the person at the terminal."""
    print(sentence, flush=True)  # noqa: T201


def serve(options: Options) -> None:
    """Build the page, serve it, and stay until it is stopped.

    Raises:
        MmdemoError: The installation or the port cannot be used.
    """
    check_limits(options)
    share_heaps()
    check_installation()
    port = find_port(options.host, options.port)
    from mmdemo.ui.web.scratch import scratch_folder
    from mmdemo.ui.web.stopping import Stop

    with Stop() as stop, scratch_folder() as scratch:
        stop.clears(scratch)
        _serve(options, port, stop)


def _serve(options: Options, port: int, stop: Stop) -> None:
    from mmdemo.core.settings import ROOT, cache_root, checkpoints_root, data_root, datasets_root
    from mmdemo.serving.engine import Engine
    from mmdemo.ui.api import answer_assistants_in_json
    from mmdemo.ui.examples import EXAMPLES_DIR
    from mmdemo.ui.page import MAX_UPLOAD_MB, MAX_UPLOAD_MB_PUBLIC, build_page, build_words
    from mmdemo.ui.queue import FairQueue
    from mmdemo.ui.sessions import KEPT_SESSIONS, keep_small
    from mmdemo.ui.theme import CSS, HEAD, build_theme
    from mmdemo.ui.web.addresses import Trust, parse_proxies
    from mmdemo.ui.web.layers import Guard
    from mmdemo.ui.web.protocol import Doorkeeper
    from mmdemo.ui.web.server import own_server

    public = bool(options.public_because)
    trust = Trust(proxies=parse_proxies(options.proxies), tunnel=options.share)
    if public:
        announce(f"Profile for others ({options.public_because}): inference only, listed models only, smaller uploads.")
    engine = Engine(device=options.device, public=public, max_models=options.max_models, max_bytes=options.max_bytes)
    words = build_words(public=public)
    demo = build_page(engine, public=public, device=options.device, words=words)
    queue = cast(FairQueue, demo._queue)
    guard = Guard(trust=trust, auth=options.auth, queue=queue)
    # under --auth, or where others reach it, people come by whatever name the machine has
    any_name = options.reachable or options.auth is not None
    layers = guard.for_strangers(mcp=options.mcp) if public else guard.for_oneself(any_name=any_name)
    try:
        with own_server(Doorkeeper(trust), guard.ending.begin):
            _, local, _ = demo.launch(
                server_name=options.host,
                server_port=port,
                auth=guard.check,
                share=False,  # the link is made beside the served page, see open_share_link
                quiet=True,
                inline=False,
                _frontend=False,  # no request to itself with a limit of 3 s, which a busy machine or a proxy fails
                prevent_thread_lock=True,
                show_error=False,
                ssr_mode=False,
                pwa=False,
                enable_monitoring=False,
                run_history=False,
                mcp_server=options.mcp,
                footer_links=["api", "settings"],
                max_file_size=(MAX_UPLOAD_MB_PUBLIC if public else MAX_UPLOAD_MB) * 1_000_000,
                allowed_paths=[str(EXAMPLES_DIR)],
                blocked_paths=[
                    str(path)
                    for path in (checkpoints_root(), datasets_root(), data_root(), cache_root(), ROOT / ".git")
                ],
                app_kwargs={"middleware": layers, "lifespan": guard.clearing(), "openapi_url": None},
                state_session_capacity=KEPT_SESSIONS,
                i18n=words,
                theme=build_theme(),
                css=CSS,
                head=HEAD,
            )
            keep_small(demo, queue)
        local = local.rstrip("/")
        guard.describe_once(local)
        announce(f"mmdemo answers at {local} (stop it with Ctrl+C)")
        threading.Thread(target=warm, args=(engine,), name="warm", daemon=True).start()
        if options.mcp:
            answer_assistants_in_json(demo)
            announce(f"Tools for assistants (MCP, streamable HTTP): {local}/gradio_api/mcp/")
        if options.share:
            announce("Asking for a public link …")
            arguments = (demo, options.host, port, local, trust)
            threading.Thread(target=open_share_link, args=arguments, name="share", daemon=True).start()
        stop.wait()
    finally:
        stop.ends()
        demo.close(verbose=False)
        engine.close()
