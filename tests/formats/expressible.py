"""Which of the examples of each kind each format can express: what tests assert and docs tell."""

from __future__ import annotations

from tests.formats.examples import EXAMPLES

LYCORIS = {
    "lora": {0, 1, 2},
    "loha": {0, 1, 2},
    "lokr": {0, 1, 2, 3, 4},
    "dora": {0, 1, 2, 3},
    "doha": {0, 1},
    "dokr": {0, 1},
    "full": {0, 1, 2},
    "ia3": {0, 1},
    "oft": {0, 1},
    "boft": {0},
    "glora": {0},
}
DOTTED = {**LYCORIS, "ia3": set()}
# Those that it writes as the same update by other factors: a middle one is multiplied away.
REWRITTEN = {"diffusers": {"lora": {2}}, "peft": {"lora": {2}}}
# Which of the EXAMPLES of each kind a format can express; the rest it must refuse by name.
EXPRESSIBLE = {
    "kohya": LYCORIS,
    "lycoris": LYCORIS,
    "comfyui": DOTTED,
    "onetrainer": DOTTED,
    "diffusers": {"lora": {0, 1}, "dora": {0, 2}},
    "peft": {
        "lora": {0, 1},
        "loha": {0, 1, 2},
        # Of rank 1 PEFT would leave a factor of 2 by 2 whole.
        "lokr": {0, 1, 3, 4},
        "dora": {0, 2},
        "ia3": {0, 1},
        "oft": {2},
        "boft": {1},
    },
    "diffusers-attn-procs": {},
    "cloneofsimo": {},
    "native": {kind: set(range(len(examples))) for kind, examples in EXAMPLES.items()},
}
