"""Several processes of one training (torchrun), and the group of processes that one belongs to."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal

import torch
from torch import distributed


def world_size() -> int:
    """Processes that train together; torchrun says how many."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is."""
    return int(os.environ.get("RANK", "0"))


def set_device() -> None:
    """Each process of a machine works on a card of its own; torchrun says which number it has there."""
    if world_size() > 1 and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def is_main() -> bool:
    """Whether this is the one that writes files and speaks."""
    return rank() == 0


def all_reduce_any(flag: bool) -> bool:
    """Whether the flag is up in any process: what one decides, all do."""
    return bool(all_reduce_max(int(flag)))


def all_reduce_max(number: int) -> int:
    """The largest of the numbers that the processes have."""
    if world_size() == 1 or not distributed.is_initialized():
        return number
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    found = torch.tensor(number, device=device)
    distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
    return int(found.item())


def barrier() -> None:
    """Until all have come here."""
    if world_size() > 1 and distributed.is_initialized():
        distributed.barrier()


def destroy_group() -> None:
    """Leave the group of processes that trained together."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def own_group() -> None:
    """Make this process the leader of a process group of its own, so that all of a run can be told to stop at once.

    A shell does the same for each command; where this was started by something else, and a terminal is attached, the
    terminal's Ctrl-C is taken along and given back at the end. Under torchrun the group stays that of its workers.
    """
    if not hasattr(os, "setpgid") or world_size() > 1 or os.getpgrp() == os.getpid():
        return
    before = os.getpgrp()
    try:
        os.setpgid(0, 0)
    except OSError:
        return  # a session's leader has a group already
    with contextlib.suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR)
        if os.tcgetpgrp(terminal) == before:
            _to_the_front(terminal, os.getpid())
            atexit.register(_to_the_front, terminal, before)
        else:
            os.close(terminal)


def _to_the_front(terminal: int, group: int) -> None:
    # a process in the background that takes the terminal is stopped, unless it does not listen
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(terminal, group)
    finally:
        signal.signal(signal.SIGTTOU, before)
