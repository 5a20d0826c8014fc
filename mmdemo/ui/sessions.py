"""What gradio remembers of its visitors, kept small.

Gradio keeps a record for each session, with the settings of every component in it: a tenth of a second of computing
and half a megabyte for a page of this size, for each call of a program too, ten thousand of them. Nothing here reads
those settings (they serve deep links), and a program's call has no session that could come back.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from gradio.state_holder import SessionState, StateHolder

if TYPE_CHECKING:
    import gradio as gr

    from mmdemo.ui.queue import FairQueue

KEPT_SESSIONS = 256
"""Open pages whose answers are remembered for "where it looked" and corrections; the oldest goes first."""


class LightSession(SessionState):
    """A session without the settings of all components."""

    def __init__(self, blocks: gr.Blocks) -> None:
        # what gradio reads here: the page's components and events, and of which components to note the settings
        bare = SimpleNamespace(default_config=blocks.default_config, blocks={})
        super().__init__(cast("gr.Blocks", bare))

    def _update_value_in_config(self, key: int, value: object) -> None:
        """Nothing: an answer is not kept a second time."""

    def _update_config(self, key: int) -> None:
        """Nothing, as for values."""


class Sessions(StateHolder):
    """Sessions of pages, up to the capacity; a call of a program leaves none.

    Args:
        queue: Knows which calls are under way; gradio gives a call without a session its own id as one.
    """

    def __init__(self, queue: FairQueue) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._queue = queue

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            session = LightSession(self.blocks)
            if self._queue.is_call(session_id):
                return session
            self.session_data[session_id] = session
        return super().__getitem__(session_id)


def keep_small(demo: gr.Blocks, queue: FairQueue) -> None:
    """Let a page that was launched keep its sessions this way."""
    sessions = Sessions(queue)
    sessions.set_blocks(demo)
    demo.app.state_holder = sessions
