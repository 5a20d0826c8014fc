"""What a task is. Adding one means an entry here, a module beside this one and its tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdemo.tasks.ask import AskTask
from mmdemo.tasks.base import Task
from mmdemo.tasks.caption import CaptionTask
from mmdemo.tasks.classify import ClassifyTask
from mmdemo.tasks.sentiment import SentimentTask
from mmdemo.tasks.speech import SpeechTask
from mmdemo.tasks.vision import VisionTask

TASKS: Mapping[str, Task[Any, Any]] = {
    task.name: task for task in (AskTask(), ClassifyTask(), CaptionTask(), SentimentTask(), VisionTask(), SpeechTask())
}
