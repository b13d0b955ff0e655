"""`loraloom doctor`: the table, the object, the exit status."""

import json

import pytest

from loraloom.cli.main import main
from loraloom.jobs import doctor
from loraloom.jobs.doctor import Finding

SOUND = (Finding(name="python", value="3.11.7"), Finding(name="peft", value="–"))
NOTED = (*SOUND, Finding(name="device", value="cpu", state="note", code="doctor.cpu"))
BROKEN = (*NOTED, Finding(name="torch", value="–", state="failed", code="doctor.no_torch"))


@pytest.mark.parametrize(("findings", "status"), [(SOUND, 0), (NOTED, 0), (BROKEN, 7)])
def test_the_exit_status_is_7_where_something_needed_is_missing(
    findings, status, monkeypatch, capsys
):
    monkeypatch.setattr(doctor, "examine", lambda folder: iter(findings))
    assert main(["doctor", "--json"]) == status
    result = json.loads(capsys.readouterr().out)
    assert result["ready"] is (status == 0)
    assert [each["name"] for each in result["findings"]] == [each.name for each in findings]
    assert main(["doctor"]) == status
    capsys.readouterr()


def test_a_person_is_told_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda folder: iter(BROKEN))
    main(["doctor", "--lang", "ko"])
    shown = capsys.readouterr().out
    assert "✗  PyTorch" in shown
    assert "https://pytorch.org/get-started/locally/" in shown
    assert "고칠 것 1개" in shown
