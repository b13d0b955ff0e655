"""What happens on Ctrl-C: the first lets the job save and finish, the second lets it go."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self, final

_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name)
)


@final
class Interruption:
    """While it is entered, keeps signals for a job that asks `stop` after each step.

    `notify` is called when the first signal arrives, in the midst of anything: it must not use
    buffered streams. Outside the main thread, where Python sends
    no signals, it only answers no.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._kept: dict[Any, Any] = {}
        self._asked: int | None = None

    def stop(self) -> bool:
        """Tell whether the job should finish now."""
        return self._asked is not None

    @property
    def exit_code(self) -> int:
        """The exit status of a job that finished because it was asked to: 128 and the signal."""
        return 128 + (self._asked or 0)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._kept = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None:
            raise KeyboardInterrupt
        self._asked = number
        self._notify()
