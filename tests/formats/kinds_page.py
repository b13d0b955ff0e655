"""The page of kinds and formats in the docs, from what the tests assert of them.

`python -m tests.formats.kinds_page` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from loraloom.text import LANGUAGES
from tests.formats.expressible import EXPRESSIBLE, REWRITTEN

# Of each kind, what its EXAMPLES are: in English and Korean.
FORMS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "lora": (
        ("linear", "선형"),
        ("convolution", "합성곱"),
        ("convolution with a middle factor (Tucker)", "중간 인수가 있는 합성곱(Tucker)"),
    ),
    "loha": (
        ("linear", "선형"),
        ("convolution", "합성곱"),
        ("convolution with middle factors (Tucker)", "중간 인수가 있는 합성곱(Tucker)"),
    ),
    "lokr": (
        ("both factors whole", "두 인수 모두 전체"),
        ("second factor of low rank", "둘째 인수만 저랭크"),
        ("both factors of low rank", "두 인수 모두 저랭크"),
        ("convolution with a middle factor (Tucker)", "중간 인수가 있는 합성곱(Tucker)"),
        ("convolution, both factors whole", "합성곱, 두 인수 모두 전체"),
    ),
    "dora": (
        ("linear, magnitude of the outputs", "선형, 출력 쪽 크기"),
        ("linear, magnitude of the inputs", "선형, 입력 쪽 크기"),
        ("convolution, magnitude of the outputs", "합성곱, 출력 쪽 크기"),
        ("convolution, magnitude of the inputs", "합성곱, 입력 쪽 크기"),
    ),
    "doha": (
        ("magnitude of the outputs", "출력 쪽 크기"),
        ("magnitude of the inputs", "입력 쪽 크기"),
    ),
    "dokr": (
        ("magnitude of the outputs", "출력 쪽 크기"),
        ("magnitude of the inputs", "입력 쪽 크기"),
    ),
    "full": (
        ("linear", "선형"),
        ("convolution", "합성곱"),
        ("norms and biases", "정규화 층과 bias"),
    ),
    "ia3": (("outputs scaled", "출력 배율"), ("inputs scaled", "입력 배율")),
    "oft": (
        ("of the outputs (kohya, LyCORIS)", "출력 쪽(kohya, LyCORIS)"),
        ("of the outputs, bound and rescaled", "출력 쪽, 제한과 배율"),
        ("of the inputs (PEFT)", "입력 쪽(PEFT)"),
    ),
    "boft": (
        ("of the outputs (LyCORIS)", "출력 쪽(LyCORIS)"),
        ("of the inputs (PEFT)", "입력 쪽(PEFT)"),
    ),
    "glora": (("linear", "선형"),),
}
_COLUMNS: Final = {
    "kohya": "kohya",
    "lycoris": "LyCORIS",
    "peft": "PEFT",
    "diffusers": "diffusers",
    "comfyui": "ComfyUI, ai-toolkit",
    "onetrainer": "OneTrainer",
    "native": "native",
}
_READ_ONLY: Final = frozenset({"comfyui", "onetrainer"})
_BOTH, _IN, _OUT, _NONE = "in, out", "in", "out", "–"
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "title": "Kinds and formats",
        "about": """\
Which form of which kind goes into which format, and comes out of it. The tests write this page:
each “in, out” is a file that is written and read again bit for bit (IA3 in PEFT but for one
rounding), each “–” a file that is refused with the names of the weights and of the formats that can
hold them. “in” is read the same way; `--to` does not offer to write it. “out” is written as the
same update in another form, with a note: a middle factor is multiplied into the first.

Read besides: cloneofsimo's files and diffusers' old attention processors (LoRA on linear layers),
and `.bin` and `.pt` pickles of any of these, which are never run. A PEFT folder is of one type:
kinds that differ do not share one, and LoKr's factors are divided by PEFT's own rule or not
written. `--lossy svd:RANK` makes what a format cannot hold a LoRA, and prints the error; `--drop
bias,norm` leaves biases and norms out, and prints their share. `lora convert`, `merge`, `resize`
and `extract` have both.""",
        "kind": "Kind",
        "form": "Form",
    },
    "ko": {
        "title": "종류와 형식",
        "about": """\
어떤 종류의 어떤 형태를 어떤 형식으로 읽고 쓸 수 있는지입니다. 이 페이지는 테스트가 씁니다.
“in, out”은 저장했다가 다시 읽어 비트 단위로 같은 파일이고(PEFT의 IA3는 한 번 반올림), “–”은 해당
가중치와 그것을 담을 수 있는 형식의 이름을 알려 주며 거절하는 파일입니다. “in”은 똑같이 읽지만
`--to`로 저장하지는 않습니다. “out”은 같은 변화를 다른 형태로 저장하고 알려 줍니다: 중간 인수는 첫째
인수에 곱합니다.

그 밖에 cloneofsimo의 파일과 diffusers의 옛 어텐션 프로세서(선형 층의 LoRA)를 읽고, 이들의
`.bin`과 `.pt` 피클도 실행하지 않고 읽습니다. PEFT 폴더는 한 유형이므로 서로 다른 종류를 함께 담지
못하고, LoKr은 PEFT의 규칙대로 나뉜 인수만 담습니다. `--lossy svd:랭크`는 형식이 담지 못하는 것을
LoRA로 만들고 오차를 출력하며, `--drop bias,norm`은 bias와 정규화 층을 빼고 그 비율을 출력합니다.
`lora convert`, `merge`, `resize`, `extract`에서 둘 다 쓸 수 있습니다.""",
        "kind": "종류",
        "form": "형태",
    },
}


def page(language: str) -> str:
    """Return the page as Markdown."""
    words = _WORDS[language]
    head = [words["kind"], words["form"], *_COLUMNS.values()]
    lines = [f"# {words['title']}", "", words["about"], "", _row(head)]
    lines += ["|" + "---|" * len(head), *_rows(language)]
    return "\n".join(lines) + "\n"


def page_path(language: str, docs: Path = Path("docs")) -> Path:
    """Return where the page of a language is kept."""
    return (docs if language == "en" else docs / language) / "kinds.md"


def _rows(language: str) -> Iterator[str]:
    for kind, forms in FORMS.items():
        for index, names in enumerate(forms):
            name = names[LANGUAGES.index(language)]
            yield _row([f"`{kind}`", name, *(_cell(each, kind, index) for each in _COLUMNS)])


def _cell(format: str, kind: str, index: int) -> str:
    if index in REWRITTEN.get(format, {}).get(kind, ()):
        return _OUT
    if index not in EXPRESSIBLE[format].get(kind, ()):
        return _NONE
    return _IN if format in _READ_ONLY else _BOTH


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    for each in LANGUAGES:
        page_path(each).write_text(page(each), encoding="utf-8")
