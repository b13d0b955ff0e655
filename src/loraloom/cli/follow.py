"""A job followed from its first event to its last, and what is said at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain
from typing import Any

from loraloom.cli.ending import tell
from loraloom.cli.interruption import Interruption
from loraloom.cli.pace import clock
from loraloom.cli.plain_data import dumps
from loraloom.cli.progress import progress_for
from loraloom.cli.records import EventLog, Tally
from loraloom.cli.session import Session
from loraloom.errors import LoraLoomError, UsageError
from loraloom.events import Event, Planned, Warned

Job = Callable[[Callable[[], bool]], Iterator[Event]]
Advice = Callable[[Tally], Sequence[str]]


def follow(
    session: Session,
    job: Job,
    *,
    plan_is_result: bool = False,
    notes: Sequence[Warned] = (),
    advice: Advice | None = None,
    show: Callable[[Tally], int] | None = None,
    stopping: str = "progress.stopping",
) -> int:
    """Run a job: show its events, record them, tell its results; return the exit status.

    With `plan_is_result` the plan is left for `show` to tell.
    `job` is given a function that tells whether to stop. `notes` are told first; `advice` makes
    the commands that may come next out of what the job came to. `show` shows a job's results in
    another way and returns the exit status of a job that was not interrupted. `stopping` is what is
    said, by its code, when it is asked to stop. An error that ends the job is told with the files
    that were complete by then.
    """
    if session.json and session.events == "-":
        raise UsageError("cli.json_and_events")
    tally = Tally()
    failure: LoraLoomError | None = None
    with (
        closing(EventLog(session)) as log,
        Interruption(lambda: _acknowledge(session.say(stopping))) as interruption,
        closing(progress_for(session)) as progress,
    ):
        events = job(interruption.stop)
        try:
            for event in chain(notes, events):
                log.write(event)
                tally.add(event, session)
                if not (plan_is_result and isinstance(event, Planned)):
                    progress.show(event)
        except LoraLoomError as caught:
            log.fail(caught)
            failure = caught
        finally:
            _let_go(events)
    if failure is not None:
        return tell(failure, session, tally.outputs)
    interrupted = tally.finished is not None and tally.finished.interrupted
    if show is not None and not interrupted:
        return show(tally)
    _tell(session, tally, advice)
    return interruption.exit_code if interrupted else 0


def _tell(session: Session, tally: Tally, advice: Advice | None) -> None:
    if session.json:
        print(dumps(tally.result()), file=session.out)
    elif session.events != "-":
        for path in tally.outputs:
            print(path, file=session.out)
    session.out.flush()
    if session.quiet or tally.finished is None:
        return
    stopped = "progress.interrupted" if tally.outputs else "progress.stopped"
    code = stopped if tally.finished.interrupted else "progress.finished"
    print(session.say(code, time=clock(tally.finished.seconds)), file=session.err)
    if lines := advice(tally) if advice else ():
        shown = [session.say("progress.next"), *(f"  {line}" for line in lines)]
        print(*shown, sep="\n", file=session.err)


def _acknowledge(text: str) -> None:
    # Called by a signal handler, where a buffered stream may be in the middle of a write.
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())


def _let_go(events: Any) -> None:
    """Close a generator, so that what it holds is given back before anything else is said."""
    if hasattr(events, "close"):
        events.close()
