"""The command `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from loraloom.cli.columns import table, wrapped
from loraloom.cli.command import Command, Request
from loraloom.cli.plain_data import dumps
from loraloom.cli.session import Session
from loraloom.cli.wording import named
from loraloom.errors import SetupError

_MARKS: Final = {"ok": "✓", "note": "!", "failed": "✗"}


def _run(session: Session, request: Request) -> int:
    from loraloom.jobs.doctor import examine

    findings = list(examine(Path.cwd()))
    failed = [finding for finding in findings if finding.state == "failed"]
    if session.json:
        print(dumps(_record(findings, session)), file=session.out)
    else:
        rows = [(_MARKS[f.state], named("doctor.what", f.name, session), f.value) for f in findings]
        print(*table(rows), sep="\n", file=session.out)
        for finding in findings:
            if finding.code:
                title = named("doctor.what", finding.name, session)
                print(f"\n{_MARKS[finding.state]} {title}", file=session.out)
                for part in session.say(finding.code, **finding.details).splitlines():
                    print(*(f"  {line}" for line in wrapped(part, 78)), sep="\n", file=session.out)
        verdict = "doctor.failed" if failed else "doctor.ready"
        print(f"\n{session.say(verdict, count=len(failed))}", file=session.out)
    return SetupError.exit_code if failed else 0


def _record(findings: list[Any], session: Session) -> dict[str, Any]:
    return {
        "ready": not any(finding.state == "failed" for finding in findings),
        "findings": [
            {
                "name": finding.name,
                "state": finding.state,
                "value": finding.value,
                "advice": session.say(finding.code, **finding.details) if finding.code else None,
            }
            for finding in findings
        ],
    }


DOCTOR: Final = Command(name="doctor", options=lambda: (), run=_run)
