"""The playground's tokenizer is a CLIP tokenizer that any text goes through."""

from __future__ import annotations

from pathlib import Path

from transformers import CLIPTokenizer

from loraloom.jobs.building.tokenizer import learn_tokenizer

CORPUS = ["a red ball in a meadow", "a blue boat at sunset", "고양이"] * 4


def test_layout_and_round_trip(tmp_path: Path) -> None:
    tokenizer = learn_tokenizer(CORPUS, 30)
    assert len(tokenizer) == 512 + 30 + 2
    words = tokenizer.tokenize("a red ball")
    assert words == ["a</w>", "red</w>", "ball</w>"]
    for text in ("a red ball", "고양이", "héllo wörld", "🎈 ?!"):
        ids = tokenizer(text)["input_ids"]
        assert (ids[0], ids[-1]) == (len(tokenizer) - 2, len(tokenizer) - 1)
        assert len(tokenizer) - 1 not in ids[1:-1], "nothing is unknown"
    back = tokenizer.decode(tokenizer("a red ball")["input_ids"], skip_special_tokens=True)
    assert back.strip() == "a red ball"
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    assert again("a red 고양이")["input_ids"] == tokenizer("a red 고양이")["input_ids"]
    assert again.model_max_length == 77


def test_the_same_corpus_gives_the_same_merges() -> None:
    # Every pair of letters is as frequent as any other.
    corpus = [left + right for left in "abcdefgh" for right in "ijklmnop"]
    engines = {learn_tokenizer(corpus, 64).backend_tokenizer.to_str() for _ in range(8)}
    assert len(engines) == 1
