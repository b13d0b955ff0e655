"""The program as a whole: help in two languages, commands, and what is never imported for it."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from loraloom.cli.help import explained, term
from loraloom.cli.main import COMMANDS, main
from loraloom.text import LANGUAGES, say

LIGHT = """
import sys
from loraloom.cli.main import COMMANDS, main

main(["--help"])
for command in COMMANDS:
    assert main([*command.name.split(), "--help-all", "--lang", "ko"]) == 0
    assert main([*command.name.split(), "--no-such-flag-at-all"]) == 2
assert main(["train", "photos", "--model", "m", "--rank", "many"]) == 2
assert main(["train", "photos", "--model", "m", "--device", "banana"]) == 2
heavy = {"torch", "diffusers", "transformers", "numpy", "rich"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


def test_nothing_heavy_is_imported_for_help_and_for_wrong_flags():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_the_exit_status_reaches_the_shell():
    words = [sys.executable, "-m", "loraloom", "trian"]
    assert subprocess.run(words, capture_output=True).returncode == 2


def test_a_reader_that_leaves_early_meets_no_traceback():
    words = [sys.executable, "-m", "loraloom", "train", "--help-all"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("language", LANGUAGES)
def test_help_shows_every_option_in_its_language(command, language, capsys):
    words = command.name.split()
    assert main([*words, "--help-all", "--lang", language]) == 0
    everything = capsys.readouterr().out
    assert main([*words, "-h", "--lang", language]) == 0
    short = capsys.readouterr().out
    for key in command.help().keys:
        assert term(key) in everything
        assert "".join(key.helps[language].split()) in "".join(everything.split())
        assert key.hidden or term(key) in short
        assert all(key.helps[each].strip() for each in LANGUAGES)


@pytest.mark.parametrize(("language", "sign"), [("en", "off"), ("ko", "끕니다")])
def test_a_flag_that_switches_off_is_told_as_one(language, sign):
    keys = [key for command in COMMANDS for key in command.help().keys]
    negated = [key for key in keys if term(key).startswith("--no_")]
    assert negated
    for key in negated:
        assert sign in explained(key, language, everything=False).split(key.helps[language])[0]


@pytest.mark.parametrize("command", ["generate", "grid", "caption"])
def test_commands_that_train_nothing_do_not_speak_of_training(command, capsys):
    main([command, "--help-all", "--lang", "en"])
    assert "in training" not in " ".join(capsys.readouterr().out.split())


def test_options_that_are_rarely_needed_are_left_out_of_short_help(capsys):
    main(["train", "--help"])
    short = capsys.readouterr().out
    main(["train", "--help-all"])
    long = capsys.readouterr().out
    assert "--adam_epsilon" not in short
    assert "--adam_epsilon" in long
    assert "--help-all" in short


@pytest.mark.parametrize(("variable", "value"), [("LORALOOM_LANG", "ko"), ("LANG", "ko_KR.UTF-8")])
def test_the_language_comes_from_the_environment(variable, value, capsys, monkeypatch):
    monkeypatch.setenv(variable, value)
    assert main(["--help"]) == 0
    assert "사용법:" in capsys.readouterr().out
    assert main(["--lang", "en", "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_without_words_the_commands_are_shown(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert command.name in shown
        assert say(command.code)[:40] in shown
    assert main(["lora"]) == 0
    assert "lora info" in capsys.readouterr().out


def test_the_version_is_the_package_s(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"loraloom {version('loraloom')}\n"


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["trian"], "cli.unknown_command_near", "train"),
        (["xyzzy"], "cli.unknown_command", "doctor"),
        (["lora", "inof"], "cli.unknown_command_near", "info"),
        (["generate"], "required.prompts", "loraloom generate"),
        (["generate", "a house", "--step", "x"], "cli.unknown_flag_near", "--steps"),
        (["generate", "a house", "--prompt", "b", "--model", "m"], "recipe.twice", "--prompt"),
        (["generate", "a house", "--model", "m", "--steps", "0"], "option.bounds", "≥ 1"),
        (["lora", "info"], "required.files", "lora info FILE"),
    ],
)
def test_what_is_not_understood_is_told_with_what_would_be(words, code, hint, capsys):
    assert main([*words, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == code
    assert hint in error["message"]
