"""The curve of a run, drawn from its events: a picture, and logs for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdemo.train.record import BOARD, CURVE, NOT_FIGURES, Event, Record, read_events

SMOOTH = 0.95
"""Share of the curve so far in its next point; single steps jump too much to be read."""

INK, PALE, RULE = "#1f2937", "#9db8e8", "#d7dce3"


def draw(record: Record) -> None:
    """Draw ``curve.png`` and ``tensorboard/`` anew; a run of which nothing can be drawn is left as it is."""
    if not record.writes:
        return
    events = read_events(record.folder)
    if any("loss" in event for event in events):
        try:
            draw_picture(events, record.folder / CURVE, title=record.folder.parent.name)
            write_board(events, record.folder / BOARD)
        except OSError as error:  # a full disk: the run itself counts more than its picture
            record.watch.log(f"the curve could not be drawn: {error}")


def draw_picture(events: list[Event], file: Path, *, title: str) -> None:
    """Loss by step, smoothed over its points, and below it every validation figure by epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # all slow to import
    from matplotlib.ticker import MaxNLocator

    losses = [(e["step"], e["loss"]) for e in events if isinstance(e.get("loss"), int | float)]
    figures = by_name(events)
    figure = Figure(figsize=(7, 2.6 * (1 + len(figures))), layout="constrained", facecolor="white")
    axes: list[Any] = list(figure.subplots(1 + len(figures), 1, sharex=True, squeeze=False)[:, 0])
    steps, values = [step for step, _ in losses], [value for _, value in losses]
    few = "." if len(steps) < 20 else ""  # a line needs two points to be seen
    axes[0].plot(steps, values, color=PALE, linewidth=0.8)
    axes[0].plot(steps, smoothed(values), color=INK, linewidth=1.6, marker=few)
    axes[0].set_ylabel("loss")
    axes[0].set_title(title, loc="left", fontsize=11)
    for axis, (name, points) in zip(axes[1:], figures.items(), strict=True):
        axis.plot([step for step, _ in points], [value for _, value in points], "o-", color=INK, markersize=3)
        step, value = max(points, key=lambda point: point[1])
        axis.annotate(f"{value:.3f}", (step, value), textcoords="offset points", xytext=(4, 5), fontsize=8)
        axis.margins(y=0.2)
        axis.set_ylabel(name)
    for axis in axes:
        axis.grid(color=RULE, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    part = file.with_name(file.name + ".part")
    FigureCanvasAgg(figure).print_png(part)  # type: ignore[no-untyped-call]  # matplotlib gives it no types
    part.replace(file)


def write_board(events: list[Event], folder: Path) -> None:
    """The same for TensorBoard: one file, which replaces the one of before."""
    from tensorboard.compat.proto.event_pb2 import Event as BoardEvent
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    before = list(folder.glob("events.*")) if folder.is_dir() else []
    writer = EventFileWriter(str(folder))
    for event in events:
        for name, value in event.items():
            if name not in {"time", "step"} and isinstance(value, int | float):
                group = "train" if "loss" in event else "validation"
                summary = Summary(value=[Summary.Value(tag=f"{group}/{name}", simple_value=value)])
                writer.add_event(BoardEvent(step=event["step"], wall_time=event.get("time", 0.0), summary=summary))
    writer.close()
    for file in before:
        file.unlink(missing_ok=True)


def by_name(events: list[Event]) -> dict[str, list[tuple[int, float]]]:
    """Every validation figure with its (step, value) pairs."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events:
        for name, value in event.items():
            if name not in NOT_FIGURES and isinstance(value, int | float):
                found.setdefault(name, []).append((event["step"], float(value)))
    return found


def smoothed(values: list[float]) -> list[float]:
    """Running mean of the points so far, bias-corrected at the start."""
    found, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = SMOOTH * total + (1 - SMOOTH) * value, SMOOTH * weight + (1 - SMOOTH)
        found.append(total / weight)
    return found
