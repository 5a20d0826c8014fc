"""The four jobs on the command line: ask, classify, caption, sentiment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.core import TyperCommand

from mmdemo.cli.files import check_results_path, json_line, open_results, record
from mmdemo.cli.inputs import PICTURE_SUFFIXES, SOUND_SUFFIXES, Input, expand
from mmdemo.cli.many import answer_all
from mmdemo.cli.terminal import progress, show
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_text
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.core.types import Result

if TYPE_CHECKING:
    from mmdemo.serving.engine import Engine

Pictures = Annotated[list[str], typer.Argument(metavar="IMAGE", help="Pictures, folders of pictures or globs.")]
Sounds = Annotated[list[str], typer.Argument(metavar="AUDIO", help="Sound files, folders of them or globs.")]
ModelId = Annotated[
    str | None, typer.Option("--model", metavar="ID", help="Which model answers; the list: python -m mmdemo models.")
]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option("--device", help="Where the model runs.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON object per line on stdout, nothing else; messages go to stderr.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Also write the answers to a .csv or .jsonl file.")
]


def register(app: typer.Typer) -> None:
    """Add the four commands."""
    app.command(cls=_PicturesThenQuestion)(ask)
    app.command()(classify)
    app.command()(caption)
    app.command()(sentiment)


class _PicturesThenQuestion(TyperCommand):
    """Says in its usage line what one list of arguments holds."""

    def collect_usage_pieces(self, ctx: object) -> list[str]:
        return ["[OPTIONS]", "IMAGE...", '"QUESTION"']


def ask(
    images: Annotated[
        list[str],
        typer.Argument(metavar='IMAGE... "QUESTION"', help="Pictures, folders or globs; then the question, in quotes."),
    ],
    model: ModelId = None,
    device: Device = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> int:
    """Ask a question about pictures; it comes last."""
    from mmdemo.media.text import clean_question

    names, asked = _split_question(images)
    check_results_path(out)
    question = clean_question(asked)
    inputs = expand(names, PICTURE_SUFFIXES, kind="pictures")
    with _engine(ASK, model, device) as engine:
        from mmdemo.serving import jobs

        return _run(
            inputs,
            lambda item: jobs.ask(item.path, question, model=model, engine=engine),
            task=ASK,
            heading="answer",
            as_json=as_json,
            out=out,
        )


def classify(
    images: Pictures,
    labels: Annotated[
        str | None, typer.Option("--labels", metavar="LABELS", help='What it may be: "cat, dog, a red car".')
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option("--labels-file", metavar="FILE", help="A text file with labels, one a line.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", metavar="TEXT", help='Prompt with {} for the label, as "a drawing of a {}".'),
    ] = None,
    model: ModelId = None,
    device: Device = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> int:
    """Sort pictures by labels of your own, or none of these."""
    from mmdemo.media.text import check_template, parse_labels

    check_results_path(out)
    wanted = parse_labels(_labels_text(labels, labels_file, model))
    prompt = check_template(template)
    inputs = expand(images, PICTURE_SUFFIXES, kind="pictures")
    with _engine(CLASSIFY, model, device) as engine:
        from mmdemo.serving import jobs

        return _run(
            inputs,
            lambda item: jobs.classify(item.path, wanted, template=prompt, model=model, engine=engine),
            task=CLASSIFY,
            heading="label",
            as_json=as_json,
            out=out,
            labels=wanted,
        )


def caption(
    images: Pictures,
    n: Annotated[int, typer.Option("--n", min=1, max=10, help="Captions per picture, the best first.")] = 3,
    max_words: Annotated[int, typer.Option("--max-words", min=3, max=40, help="Words of a caption at most.")] = 20,
    model: ModelId = None,
    device: Device = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> int:
    """Describe pictures in a sentence."""
    check_results_path(out)
    inputs = expand(images, PICTURE_SUFFIXES, kind="pictures")
    with _engine(CAPTION, model, device) as engine:
        from mmdemo.serving import jobs

        return _run(
            inputs,
            lambda item: jobs.caption(item.path, n=n, max_words=max_words, model=model, engine=engine),
            task=CAPTION,
            heading=CAPTION,
            as_json=as_json,
            out=out,
            captions=n,
        )


def sentiment(
    audio: Sounds,
    model: ModelId = None,
    device: Device = "auto",
    as_json: AsJson = False,
    out: Out = None,
) -> int:
    """Recognise the emotion in speech."""
    check_results_path(out)
    inputs = expand(audio, SOUND_SUFFIXES, kind="sounds")
    with _engine(SENTIMENT, model, device) as engine:
        from mmdemo.serving import jobs

        return _run(
            inputs,
            lambda item: jobs.sentiment(item.path, model=model, engine=engine),
            task=SENTIMENT,
            heading="emotion",
            as_json=as_json,
            out=out,
        )


# ---------------------------------------------------------------- what they share


def _run(
    inputs: Sequence[Input],
    answer: Callable[[Input], Result],
    *,
    task: str,
    heading: str,
    as_json: bool,
    out: Path | None,
    labels: Sequence[str] = (),
    captions: int = 1,
) -> int:
    """Answer all inputs and put the answers where they belong; 1 when some input could not be used, else 0."""
    outcomes: list[tuple[str, Result | str]] = []
    failed = False
    with ExitStack() as stack:
        results = stack.enter_context(open_results(out, task=task, labels=labels, captions=captions)) if out else None
        # with JSON on the same terminal the bar would be drawn into the lines
        bar = stack.enter_context(progress(len(inputs), quiet=as_json and sys.stdout.isatty()))
        step = bar.add_task(task, total=len(inputs))
        for name, outcome in answer_all(inputs, answer):
            failed = failed or isinstance(outcome, str)
            if results is not None:
                results.write(name, outcome)
            if as_json:
                sys.stdout.write(json_line(record(name, outcome)) + "\n")
                sys.stdout.flush()
            else:
                outcomes.append((name, outcome))
            bar.advance(step)
    if not as_json:
        show(outcomes, title=heading)
    return 1 if failed else 0


@contextmanager
def _engine(task: str, model: str | None, device: str) -> Iterator[Engine]:
    """An engine for this command, its model known to exist before the first file is read."""
    from mmdemo.serving.engine import Engine

    # nothing is fetched here: "download" does that, after saying what it takes
    with Engine(device=device) as engine:
        engine.card(task, model)
        yield engine


def _split_question(arguments: Sequence[str]) -> tuple[list[str], str]:
    """Pictures and the question; refuses what is plainly a file or a question without its quotes."""
    example = 'Write the question last, in quotes: ask photo.jpg "Is there a dog?"'
    *names, question = arguments
    if Path(question).suffix.lower() in PICTURE_SUFFIXES or Path(question).expanduser().exists():
        raise MmdemoError("The question is missing", f"the last argument, {question}, is a file or folder", example)
    if not names:
        raise MmdemoError("The picture is missing", f"“{question}” is taken as the question", example)
    loose = [name for name in names if not Path(name).expanduser().exists() and name.isalpha()]
    if len(loose) > 1 and not question.strip().count(" "):
        words = " ".join([*loose, question])
        raise MmdemoError("The question cannot be told from the pictures", f"“{words}” has no quotes", example)
    return names, question


def _labels_text(labels: str | None, file: Path | None, model: str | None) -> str:
    if labels is not None and file is not None:
        raise MmdemoError("There are two lists of labels", "--labels and --labels-file were both given", "Give one")
    if file is not None:
        try:
            return read_text(file.expanduser())
        except Unreadable as error:
            raise MmdemoError(f"The labels in {file} cannot be read", error.why) from error
    if labels is not None:
        return labels
    learned = _own_classes(model) if model is not None else ()
    if not learned:
        raise MmdemoError("There are no labels", "", 'Give them as --labels "cat, dog" or --labels-file FILE')
    return "\n".join(learned)


def _own_classes(model: str) -> tuple[str, ...]:
    """The classes that a checkpoint of ours was tuned on; a model of others has none."""
    from mmdemo.core.config import CLASSES
    from mmdemo.models import fetch, registry
    from mmdemo.models.families.detect import is_hub_model
    from mmdemo.models.folder import read_config

    place = fetch.fetch(model)
    folder = place or Path(model).expanduser()
    if is_hub_model(folder):
        return ()
    learned = read_config(registry.find(CLASSIFY, str(place) if place else model)).settings.get(CLASSES)
    return learned if isinstance(learned, tuple) else ()
