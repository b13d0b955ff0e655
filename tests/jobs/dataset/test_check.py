"""The check of training folders: what it finds, what its report says, what its copy repairs."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
from pathlib import Path

import pytest
from PIL import Image

from loraloom.cli.dataset_report import show_report
from loraloom.cli.main import main
from loraloom.cli.session import Session
from loraloom.data.options import DataOptions
from loraloom.data.picture import upright_rgb
from loraloom.events import Examined, Finished
from loraloom.jobs.dataset.check import CheckOptions, check
from loraloom.jobs.dataset.fix import REPORT
from loraloom.jobs.dataset.report import worded
from tests.bad_inputs import TRIGGER, BadInputs, blocks, write_bad_inputs


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> BadInputs:
    return write_bad_inputs(tmp_path_factory.mktemp("bad") / "set")


def _checked(folder, *flags, capsys, status=0):
    """Run the command and return its JSON and what it wrote on standard error."""
    assert main(["dataset", "check", str(folder), "--json", *flags]) == status
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return json.loads(told.out)


def _files(report):
    return {each["code"]: set(each["files"]) for each in report["findings"]}


def _hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _report_of(folder, **options):
    data = DataOptions(train_data_dir=folder, **options.pop("data", {}))
    events = list(check(CheckOptions(folders=(folder,), data=data, **options)))
    assert isinstance(events[-1], Finished)
    (examined,) = (event for event in events if isinstance(event, Examined))
    return examined.report


def test_each_of_many_bad_inputs_is_found_and_nothing_else(bad, capsys):
    assert bad.inputs >= 40
    report = _checked(bad.root, "--resolution=512", "--goal=character", capsys=capsys, status=3)
    assert report["exit_code"] == 3
    expected = {code: names for code, names in bad.expected.items() if "trigger" not in code}
    assert _files(report) == {**expected, "dataset.few": set()}
    errors = {each["code"] for each in report["findings"] if each["severity"] == "error"}
    assert errors == {
        f"dataset.{name}"
        for name in (
            "picture_unreadable",
            "picture_mode",
            "picture_too_small",
            "caption_missing",
            "caption_empty",
            "caption_undecodable",
        )
    }


def test_the_copy_is_repaired_and_passes_and_the_source_stays_as_it_was(bad, tmp_path, capsys):
    before = _hashes(bad.root)
    flags = ("--resolution=512", f"--trigger={TRIGGER}", f"--fix={tmp_path / 'copy'}")
    report = _checked(bad.root, *flags, capsys=capsys, status=3)
    # A trigger describes what nothing else does.
    missing = bad.expected["dataset.caption_missing"]
    assert _files(report)["dataset.caption_from_trigger"] == missing
    assert _files(report)["dataset.trigger_missing"] == bad.expected["dataset.trigger_missing"]
    assert _hashes(bad.root) == before

    kept = json.loads((tmp_path / "copy" / REPORT).read_text(encoding="utf-8"))
    left_out = {each["file"]: each["code"] for each in kept["left_out"]}
    assert set(left_out) == bad.left_out - missing == set(report["copy"]["left_out"])
    for name, code in left_out.items():
        assert code in bad.expected
        assert set(kept["why"][code]) == {"en", "ko"}, name
    assert kept["kept"] == report["images"] - len(left_out)

    copy = _checked(tmp_path / "copy", *flags[:2], capsys=capsys, status=0)
    assert copy["usable"]
    assert copy["images"] == copy["decoded"] == kept["kept"]
    repaired = "turned ink transparent animated enlarged_much"
    gone = {f"dataset.picture_{name}" for name in repaired.split()[:4]} | {
        f"dataset.{name}"
        for name in (
            "caption_encoding",
            "caption_utf16",
            "caption_mark",
            "caption_rivals",
            "caption_shared",
            "caption_over_metadata",
            "caption_unpaired",
            "names_apart",
            "names_capital",
            "names_one",
        )
    }
    assert not gone & set(_files(copy))
    # What was garbled without loss is mended, and the rest is still told.
    assert _files(copy)["dataset.caption_garbled"] == {"10_mydog/garbled more.txt"}
    text = (tmp_path / "copy" / "10_mydog" / "garbled.txt").read_text(encoding="utf-8")
    assert text.endswith("풀밭의 공\n")


def test_pixels_that_are_written_anew_are_those_that_training_sees(bad, tmp_path, capsys):
    copy = tmp_path / "copy"
    _checked(bad.root, "--resolution=512", f"--fix={copy}", capsys=capsys, status=3)
    for name in ("lying.jpg", "mirrored.jpg", "glass.png", "hole.gif", "moving.gif", "ink.jpg"):
        source = bad.root / "10_mydog" / name
        again = (copy / "10_mydog" / name).with_suffix(".png")
        with Image.open(again) as image:
            assert (image.mode, image.getexif().get(0x0112, 1)) == ("RGB", 1)
        assert upright_rgb(again).tobytes() == upright_rgb(source).tobytes(), name
    untouched = copy / "10_mydog" / "good0.png"
    assert untouched.read_bytes() == (bad.root / "10_mydog" / "good0.png").read_bytes()


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    """Write three styles: one far too small, one a little small, one large but few."""
    root = tmp_path_factory.mktemp("styles")
    for seed, (name, count, side) in enumerate(
        (("anime", 183, 60), ("watercolor", 170, 416), ("cartoon", 63, 2000))
    ):
        (root / name).mkdir()
        for number in range(count):
            # In grey, which is written several times faster.
            picture = blocks(1000 * seed + number, side).convert("L")
            picture.save(root / name / f"{number:03d}.jpg", quality=75)
            caption = f"{name}style, a picture"
            (root / name / f"{number:03d}.txt").write_text(caption, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("style", "status", "told", "english", "korean"),
    [
        (
            "anime",
            3,
            {"dataset.picture_too_small": "error"},
            ("far too small for 512x512: 183", "60x60", "8.5 times", "Not usable"),
            ("너무 작은 이미지가 183장", "60x60", "8.5배", "이대로는 학습에 쓸 수 없습니다"),
        ),
        (
            "watercolor",
            0,
            {"dataset.picture_enlarged": "note"},
            ("a little smaller than 512x512", "170", "416x416", "1.2 times", "Usable"),
            ("조금 작아 확대할 이미지가 170장", "416x416", "1.2배", "학습에 쓸 수 있습니다"),
        ),
        (
            "cartoon",
            0,
            {"dataset.few": "note"},
            ("63 pictures are a little few to teach a style", "80 to 100", "Usable"),
            ("이미지 63장은", "다소 적습니다", "80~100장", "학습에 쓸 수 있습니다"),
        ),
    ],
)
def test_three_styles_get_their_verdicts_in_both_languages(
    styles, style, status, told, english, korean
):
    report = _report_of(styles / style, goal="style", data={"resolution": 512})
    assert {f["code"]: f["severity"] for f in report["findings"]} == told
    assert report["exit_code"] == status
    for language, words in (("en", english), ("ko", korean)):
        out = io.StringIO()
        session = Session(
            language=language, json=False, quiet=True, events=None, out=out, err=io.StringIO()
        )
        show_report(report, session)
        shown = " ".join(out.getvalue().split())
        for word in words:
            assert word in shown
        assert all(each["fix"] for each in worded(report["findings"], language))


def test_several_folders_are_told_apart_and_one_without_pictures_is_a_finding(tmp_path, capsys):
    for name, number in (("cats", 1), ("dogs", 2)):
        (tmp_path / name).mkdir()
        blocks(number).save(tmp_path / name / "a.png")
        (tmp_path / name / "a.txt").write_text("a picture", encoding="utf-8")
    (tmp_path / "none").mkdir()
    folders = [str(tmp_path / name) for name in ("cats", "none", "dogs")]
    assert main(["dataset", "check", *folders, "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert [subset["name"] for subset in report["subsets"]] == [folders[0], folders[2]]
    (finding,) = report["findings"]
    assert finding["code"] == "dataset.pictures_missing"
    assert finding["files"] == [folders[1]]
    assert main(["dataset", "check", folders[1], "--json"]) == 3
    assert "images" not in json.loads(capsys.readouterr().out)
    assert main(["dataset", "check", str(tmp_path / "no"), "--lang=ko"]) == 3
    assert "폴더가 없습니다" in capsys.readouterr().out


def test_a_data_set_file_sets_what_it_says_and_its_copy_has_one_too(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, number in (("dog", 1), ("reg", 3)):
        Path(name).mkdir()
        for more in range(2):
            blocks(number + more, 300).save(f"{name}/{more}.PNG")
    Path("dog/0.txt").write_bytes(b"\xef\xbb\xbfa dog, red")
    Path("set.toml").write_text(
        "[[datasets]]\nresolution = 256\nbatch_size = 3\n"
        '[[datasets.subsets]]\nimage_dir = "dog"\nnum_repeats = 5\nclass_tokens = "my dog"\n'
        '[[datasets.subsets]]\nimage_dir = "reg"\nis_reg = true\nclass_tokens = "dog"\n',
        encoding="utf-8",
    )
    report = _checked("set.toml", "--fix=copy", "--trigger=mydog", capsys=capsys)
    assert (report["resolution"], report["train_batch_size"]) == ([256, 256], 3)
    assert (report["uses_per_epoch"], report["steps_per_epoch"]) == (10, 4)
    assert [(s["name"], s["repeats"], s["regularisation"]) for s in report["subsets"]] == [
        ("dog", 5, False),
        ("reg", 1, True),
    ]
    # Pictures of the class get no trigger.
    assert [each["prompt"] for each in report["prompts"]] == [
        "mydog, a dog, red",
        "mydog, my dog",
        "dog",
        "dog",
    ]
    copy = _checked("copy/set.toml", "--trigger=mydog", capsys=capsys)
    assert {f["code"] for f in copy["findings"]} == {
        "dataset.caption_from_folder",
        "dataset.folder_captions",
        "dataset.trigger_missing",
    }
    assert [each["prompt"] for each in copy["prompts"]] == [p["prompt"] for p in report["prompts"]]
    assert sorted(path.name for path in Path("copy/dog").iterdir()) == ["0.png", "0.txt", "1.png"]


def test_what_comes_next_can_be_copied_into_a_shell(bad, tmp_path, capsys):
    blocks(1).save(tmp_path / "a.png")
    flags = ("--resolution=512", "--trigger=my dog")
    assert main(["dataset", "check", str(tmp_path), *flags, "--recursive"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    command = ["loraloom", "train", str(tmp_path), "--trigger", "my dog", "--recursive"]
    assert shlex.split(told) == [*command, "--resolution", "512,512", "--model", "MODEL"]
    assert main(["dataset", "check", str(bad.root), "--lang=ko"]) == 3
    told = capsys.readouterr().out.splitlines()[-2:]
    assert "33장(고친 것 17장)이 남고 12장이 빠집니다" in told[0]
    command = ["loraloom", "dataset", "check", str(bad.root), "--fix", f"{bad.root}_fixed"]
    assert shlex.split(told[1]) == command


def test_a_base_counts_tokens_and_sets_the_size(tmp_path):
    blocks(1, 100).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a red ball", encoding="utf-8")
    report = _report_of(tmp_path, model="playground", data={"trigger": "mydog"})
    assert report["resolution"] == [128, 128]
    assert report["tokens"]["counted_by"] == "playground"
    assert [f["code"] for f in report["findings"]] == [
        "dataset.picture_enlarged",
        "dataset.trigger_missing",
    ]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_terminal_gets_colours_and_a_pipe_plain_lines(bad, language, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm-256color")
    report = _report_of(bad.root, data={"resolution": 512})

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = {}
    for name, out in (("pretty", Terminal()), ("plain", io.StringIO())):
        session = Session(
            language=language, json=False, quiet=True, events=None, out=out, err=io.StringIO()
        )
        show_report(report, session)
        shown[name] = out.getvalue()
    assert "\x1b[" in shown["pretty"]
    assert "\x1b[" not in shown["plain"]
    for text in shown.values():
        for finding in report["findings"]:
            assert finding["code"] in text
        assert "✂" in text


def test_buckets_and_class_pictures_are_told(tmp_path, capsys):
    for name, sizes in {"dog": [(512, 512)] * 3 + [(1000, 1500)], "class": [(512, 512)]}.items():
        (tmp_path / name).mkdir()
        for number, size in enumerate(sizes):
            image = Image.effect_noise(size, 60 + number)
            image.save(tmp_path / name / f"{number}.jpg")
            (tmp_path / name / f"{number}.txt").write_text(f"a {name} {number}", encoding="utf-8")
    flags = ("--batch_size=2", "--reg_data_dir", str(tmp_path / "class"))
    report = _checked(tmp_path / "dog", *flags, capsys=capsys)
    # 1000x1500 is scaled to 427x640, of which 384x640 stay; see the tests of buckets.
    assert report["buckets"] == [
        {
            "size": [512, 512],
            "images": 3,
            "regularisation": 1,
            "uses": 3,
            "batches": 2,
            "cut": 0,
            "most_cut": 0,
        },
        {
            "size": [384, 640],
            "images": 1,
            "regularisation": 0,
            "uses": 1,
            "batches": 1,
            "cut": round(1 - 384 / 427, 4),
            "most_cut": round(1 - 384 / 427, 4),
        },
    ]
    assert (report["uses_per_epoch"], report["steps_per_epoch"]) == (4, 3)
    assert [subset["regularisation"] for subset in report["subsets"]] == [False, True]

    assert main(["dataset", "check", str(tmp_path / "dog"), *flags]) == 0
    told = capsys.readouterr().out
    assert "384x640" in told
    assert "10%" in told
    assert f"--reg_data_dir {tmp_path / 'class'}" in told


def test_uneven_subsets_are_counted_as_the_table_counts_them(tmp_path, capsys):
    """Pictures that cannot be decoded are shown in neither count."""
    for name, count in (("9_often", 2), ("1_seldom", 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            blocks(number, 300).save(tmp_path / name / f"{number}.png")
            (tmp_path / name / f"{number}.txt").write_text(f"zz, a picture {number}")
    (tmp_path / "9_often" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "9_often" / "broken.txt").write_text("zz, nothing")
    report = _checked(tmp_path, "--trigger", "zz", "--resolution", "256", capsys=capsys, status=3)
    (told,) = (each for each in report["findings"] if each["code"] == "dataset.uneven")
    assert (told["details"]["most_uses"], told["details"]["least_uses"]) == ("18", "1")
    assert {each["name"]: each["uses_per_epoch"] for each in report["subsets"]} == {
        "9_often": 18,
        "1_seldom": 1,
    }
