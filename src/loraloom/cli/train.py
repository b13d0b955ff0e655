"""The command `train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final

from loraloom.cli.command import Command, Request
from loraloom.cli.quoting import quoted
from loraloom.cli.records import Tally, dumps
from loraloom.cli.session import Session
from loraloom.cli.wording import plan_lines
from loraloom.errors import UsageError
from loraloom.events import Event
from loraloom.jobs.keys import Key, keys_of

_SHOWN: Final = 3
_STRENGTH: Final = 0.8


def _keys() -> tuple[Key, ...]:
    from loraloom.jobs.recipe import AdapterOptions, Recipe

    adapter = tuple(key for key in keys_of(AdapterOptions) if key.name != "name")
    return (*_SOURCES, *keys_of(Recipe), *adapter)


def _source(name: str, aliases: tuple[str, ...], en: str, ko: str) -> Key:
    return Key(
        name=name,
        home=(),
        group="Sources",
        kind="texts",
        choices=(),
        bounds="",
        default=(),
        required=False,
        aliases=aliases,
        helps={"en": en, "ko": ko},
        unit="",
        hidden=False,
    )


_SOURCES: Final = (
    _source(
        "config",
        ("config_file",),
        "Recipe file (TOML); a later one wins over an earlier one, and a flag over all.",
        "레시피 파일(TOML). 나중 파일이 앞의 것보다, 명령줄 옵션이 모든 파일보다 우선합니다.",
    ),
    _source(
        "adapter",
        (),
        "NAME=FOLDER: one of several adapters trained at once, each as if it were alone.",
        "이름=폴더: 한 번에 학습할 여러 어댑터 중 하나. 각각 혼자 학습한 것과 같습니다.",
    ),
    _source(
        "adapter_trigger",
        (),
        "NAME=WORD: the trigger of one of the adapters that --adapter names.",
        "이름=단어: --adapter로 지정한 어댑터의 트리거.",
    ),
)


def _run(session: Session, request: Request) -> int:
    from loraloom.jobs.recipe import Recipe

    flags = dict(request.flags)
    files = [word for word in request.words if word.lower().endswith(".toml")]
    files += [*_pop(flags, "config"), *_pop(flags, "config_file")]
    folders = [word for word in request.words if not word.lower().endswith(".toml")]
    adapters = [_adapter(word) for word in _pop(flags, "adapter")]
    _put_triggers(adapters, _pop(flags, "adapter_trigger"))
    if len(folders) == 1 and not adapters:
        _put_folder(flags, folders[0])
    else:
        adapters = [{"train_data_dir": folder} for folder in folders] + adapters
    if adapters:
        flags["adapters"] = adapters
    recipe, notes = Recipe.read(*files, overrides=flags)
    from loraloom.cli.follow import follow

    plan_is_result = (recipe.dry_run or recipe.measure) and session.events != "-"
    return follow(
        session,
        _job(recipe),
        plan_is_result=plan_is_result,
        notes=notes,
        advice=partial(_advice, recipe),
        show=partial(_show_plan, session) if plan_is_result else None,
    )


def _show_plan(session: Session, tally: Tally) -> int:
    """Print the plan on standard output, where nothing else comes of the run."""
    if session.json:
        print(dumps(tally.result()), file=session.out)
    elif tally.planned is not None:
        print(*plan_lines(tally.planned, session), sep="\n", file=session.out)
    session.out.flush()
    return 0


def _job(recipe: Any) -> Callable[[Callable[[], bool]], Iterator[Event]]:
    def start(stop: Callable[[], bool]) -> Iterator[Event]:
        return import_module("loraloom.jobs.train").train(recipe, stop=stop)

    return start


def _pop(flags: dict[str, Any], name: str) -> list[str]:
    return list(flags.pop(name, ()))


def _adapter(word: str) -> dict[str, str]:
    name, equals, folder = word.partition("=")
    if not (name and equals and folder):
        raise UsageError("cli.adapter_form", word=word)
    return {"name": name, "train_data_dir": folder}


def _put_triggers(adapters: Sequence[dict[str, str]], words: Sequence[str]) -> None:
    """Give each adapter the trigger that is named for it."""
    known = {adapter["name"]: adapter for adapter in adapters}
    for word in words:
        name, equals, trigger = word.partition("=")
        if not (equals and trigger.strip()):
            raise UsageError("cli.adapter_trigger_form", word=word)
        if name not in known:
            raise UsageError("cli.adapter_trigger_of_none", name=name, known=", ".join(known))
        if other := known[name].get("trigger"):
            raise UsageError("recipe.twice", first=f"{name}={other}", second=word)
        known[name]["trigger"] = trigger


def _put_folder(flags: dict[str, Any], folder: str) -> None:
    key = next(key for key in _keys() if key.name == "train_data_dir")
    if other := next((spelling for spelling in key.spellings if spelling in flags), None):
        raise UsageError("recipe.twice", first=folder, second=f"--{other} {flags[other]}")
    flags["train_data_dir"] = folder


def _advice(recipe: Any, tally: Tally) -> Sequence[str]:
    if not tally.outputs:
        return ()
    lines: list[str] = []
    for adapter in recipe.adapters[:_SHOWN]:
        trigger = f"{adapter.data.trigger} " if adapter.data.trigger else ""
        prompt = f"{trigger}<lora:{adapter.name}:{_STRENGTH}>"
        model = recipe.pretrained_model_name_or_path
        lines.append(f'loraloom generate "{prompt}" --model {quoted(model)} {_folder(recipe)}')
    last = recipe.adapters[-1].name
    return [*lines, f"loraloom lora info {quoted(recipe.output_dir / last)}.safetensors"]


def _folder(recipe: Any) -> str:
    return f"--lora_dir {quoted(recipe.output_dir)}"


TRAIN: Final = Command(
    name="train",
    options=_keys,
    run=_run,
    words="[FOLDER | RECIPE.toml]...",
    borrows=True,
)
