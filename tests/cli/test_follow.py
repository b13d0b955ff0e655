"""A job that is followed: events, results, interruptions."""

import io
import json
import math
import os
import signal
from pathlib import Path

import pytest

from loraloom.cli.follow import follow
from loraloom.cli.main import main
from loraloom.cli.session import Session
from loraloom.events import (
    Advanced,
    Finished,
    Measured,
    PhaseStarted,
    Planned,
    Sampled,
    Saved,
    Stepped,
    Warned,
)

ALL = (
    Planned(job="train", plan={"steps": 2, "adapters": [{"name": "cat", "images": 1200}]}),
    Warned(code="dataset.repeats", details={"value": 0}),
    PhaseStarted(phase="latents", total=2),
    Advanced(phase="latents", done=1),
    Advanced(phase="latents", done=2),
    Stepped(
        step=1,
        total=2,
        epoch=1,
        losses={"cat": math.nan, "dog": 0.5},
        learning_rates={"cat": 1e-4, "dog": 1e-4},
        gradient_norms={"cat": 1.0, "dog": 1.0},
    ),
    Sampled(path=Path("a.png"), prompt="a cat", seed=1, step=1),
    Measured(name="share", value=0.5),
    Saved(path=Path("cat.safetensors"), what="adapter", step=2),
    Finished(job="train", seconds=3.0),
)


class Stream(io.TextIOWrapper):
    """A stream that keeps what is written."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="")

    def getvalue(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode("utf-8")


class Terminal(Stream):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def session(**changes) -> Session:
    streams = {"out": Stream(), "err": Stream()}
    plain = {"language": "en", "json": False, "quiet": False, "events": None, **streams}
    return Session(**{**plain, **changes})


def test_plain_progress_is_whole_lines():
    ours = session()
    assert follow(ours, lambda stop: iter(ALL)) == 0
    text = ours.err.getvalue()
    assert "\r" not in text
    assert "\x1b" not in text
    assert "encoding pictures" in text
    assert "images" not in text
    assert "pictures  1,200" in text
    assert "step 1/2 · loss cat nan, dog 0.5000 · lr 1e-4 · epoch 1" in text
    assert "warning [dataset.repeats]: num_repeats = 0" in text
    assert ours.out.getvalue().split() == ["a.png", "cat.safetensors"]


def test_a_terminal_gets_bars(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    ours = session(err=Terminal(), language="ko")
    assert follow(ours, lambda stop: iter(ALL)) == 0
    assert "━" in ours.err.getvalue()
    assert "✓ 이미지 인코딩" in ours.err.getvalue()


@pytest.mark.parametrize("changes", [{}, {"TERM": "dumb"}])
def test_quiet_keeps_warnings_and_results(monkeypatch, changes):
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    ours = session(quiet=True, err=Terminal())
    follow(ours, lambda stop: iter(ALL))
    assert ours.err.getvalue().startswith("warning [dataset.repeats]: num")
    assert "loss" not in ours.err.getvalue()
    assert ours.out.getvalue().split() == ["a.png", "cat.safetensors"]


def test_json_is_one_object_and_nothing_else():
    ours = session(json=True)
    follow(ours, lambda stop: iter(ALL), advice=lambda tally: ["next"])
    result = json.loads(ours.out.getvalue())
    assert result["job"] == "train"
    assert result["outputs"] == ["a.png", "cat.safetensors"]
    assert result["measured"] == {"share": 0.5}
    assert result["plan"]["steps"] == 2
    assert [warning["code"] for warning in result["warnings"]] == ["dataset.repeats"]


def test_events_are_lines_of_strict_json(tmp_path):
    path = tmp_path / "events.ndjson"
    for _ in range(2):  # a second run goes on in the same file
        follow(session(events=str(path), quiet=True), lambda stop: iter(ALL))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 * len(ALL)
    records = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [record["type"] for record in records[:3]] == ["planned", "warned", "phase_started"]
    assert all(record["t"] > 1e9 for record in records)
    assert records[5]["losses"] == {"cat": None, "dog": 0.5}


def test_events_on_standard_output_are_alone_there():
    ours = session(events="-")
    follow(ours, lambda stop: iter(ALL))
    assert len([json.loads(line) for line in ours.out.getvalue().splitlines()]) == len(ALL)


def test_json_and_events_cannot_share_standard_output(training, capsys):
    words = ["train", "photos", "--model", "m", "--json", "--events", "-"]
    assert main(words) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "cli.json_and_events"


def test_an_events_file_that_cannot_be_written_is_told_before_the_job_starts(training, tmp_path):
    (tmp_path / "file").write_text("")
    words = ["train", "photos", "--model", "m", "--events", str(tmp_path / "file" / "e.ndjson")]
    assert main(words) == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_first_signal_lets_the_job_save(number, status, capfd):
    def job(stop):
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        yield Saved(path=Path("cat.safetensors"), what="adapter", step=1)
        yield Finished(job="train", seconds=1.0, interrupted=True)

    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    ours = session()
    assert follow(ours, job) == status
    assert ours.out.getvalue() == "cat.safetensors\n"
    assert "Stopping after this step" in capfd.readouterr().err
    assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]


def test_a_second_signal_aborts(training, capfd):
    closed = []

    def job(stop):
        try:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            yield Finished(job="train", seconds=1.0)
        finally:
            closed.append(True)

    training.events = job
    assert main(["train", "photos", "--model", "m"]) == 130
    assert "Aborted." in capfd.readouterr().err
    assert closed == [True]


def test_a_job_that_was_done_when_the_signal_came_ended_well(capfd):
    def job(stop):
        os.kill(os.getpid(), signal.SIGINT)
        yield Finished(job="train", seconds=1.0)

    assert follow(session(), job) == 0


@pytest.mark.parametrize("name", ["convert", "merge", "resize", "extract", "fuse"])
def test_a_job_that_would_write_at_its_end_does_not_speak_of_saving(name, monkeypatch, capfd):
    def job(options, stop):
        os.kill(os.getpid(), signal.SIGINT)
        yield Finished(job=f"lora {name}", seconds=1.0, interrupted=stop())

    words = {
        "convert": ["a.safetensors", "b.safetensors", "--to", "kohya"],
        "merge": ["a.safetensors", "-o", "b.safetensors"],
        "resize": ["a.safetensors", "--rank", "2", "-o", "b.safetensors"],
        "extract": ["a", "b", "-o", "c.safetensors"],
        "fuse": ["a", "b.safetensors", "-o", "c"],
    }
    monkeypatch.setattr(f"loraloom.jobs.lora.{name}.{name}", job)
    assert main(["lora", name, *words[name], "--lang", "en"]) == 130
    said = capfd.readouterr().err
    assert "Stopping; nothing is left half-written." in said
    assert "nothing was finished" in said
    assert "saving" not in said
