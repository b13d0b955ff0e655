"""The reference page of all commands and options; `python -m loraloom.cli.reference` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from loraloom.cli.help import Help, examples, grouped, place, shown
from loraloom.cli.main import COMMANDS
from loraloom.jobs.foreign import FOREIGN
from loraloom.jobs.keys import Key
from loraloom.jobs.packed import PACKED
from loraloom.text import LANGUAGES, say


def reference(language: str) -> str:
    """Return the page as Markdown."""
    lines = [f"# {say('reference.title', language)}", "", say("reference.about", language)]
    for command in COMMANDS:
        lines += _command(command.help(), language)
    lines += _foreign(language)
    return "\n".join(lines) + "\n"


def reference_path(docs: Path, language: str) -> Path:
    """Return where the page of a language is kept: English beside the folders of the others."""
    return docs / "options.md" if language == "en" else docs / language / "options.md"


def main() -> None:
    """Write the page of every language into the folder `docs` of the working folder."""
    for language in LANGUAGES:
        path = reference_path(Path("docs"), language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reference(language), encoding="utf-8")


def _command(page: Help, language: str) -> Iterator[str]:
    yield from ("", f"## loraloom {page.name}", "", say(page.code, language), "")
    yield from ("```console", *(f"$ {line}" for line in examples(page, language)), "```")
    for title, keys in grouped(page.keys, language):
        yield from ("", f"### {title}", "")
        yield say("reference.columns", language)
        yield "|---|---|---|---|"
        for key in keys:
            yield _row(key, language)


def _row(key: Key, language: str) -> str:
    value = "" if key.kind == "flag" else place(key).replace("|", ", ")
    value += f" ({key.bounds})" if key.bounds else ""
    name = f"`{key.name}`"
    if key.aliases:
        name += "<br>" + ", ".join(f"`{alias}`" for alias in key.aliases)
    default = shown(key.default)
    if key.unit and default:
        default += f" {key.unit}"
    return f"| {name} | {value} | {default} | {_escaped(key.helps[language])} |"


def _foreign(language: str) -> Iterator[str]:
    yield from ("", f"## {say('reference.foreign', language)}", "")
    yield say("reference.packed", language)
    yield ""
    yield from (f"- `{packed.name}`: {packed.helps[language]}" for packed in PACKED.values())
    yield from ("", say("reference.held", language), "")
    reasons: dict[str, list[str]] = {}
    for foreign in FOREIGN.values():
        held = foreign.held is None or foreign.held
        reasons.setdefault(f"{'held' if held else 'foreign'}.{foreign.why}", []).append(
            foreign.name
        )
    for code, names in reasons.items():
        keys = ", ".join(f"`{name}`" for name in names)
        sentence = say(code, language, key=keys).replace("\n", " ")
        yield f"- {_escaped(sentence)}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
