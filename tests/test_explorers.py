"""The explorers of the page "Try it": what the browser computes is what Python computes, on random settings."""

import json
import random
import shutil
import subprocess

import numpy as np
import pytest

from helpers import explorers
from helpers.explorers import FOLDER, STEP
from helpers.profile import ROOT
from helpers.vram.cards import CARDS
from helpers.vram.formula import PeakFormula

DATA = {
    name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ("vram", "sampling", "lengths")
}
SCRIPT = ROOT / "book/_static/explorers.js"


def in_javascript(calls: list[tuple]) -> list:
    """Run functions of the script, as (name, arguments), and return what they return."""
    node = shutil.which("node")
    code = (
        f"const js = require({json.dumps(str(SCRIPT))});"
        "let text = ''; process.stdin.on('data', (x) => text += x).on('end', () =>"
        "console.log(JSON.stringify(JSON.parse(text).map(([name, args]) => js[name](...args)))));"
    )
    if node:
        done = subprocess.run([node, "-e", code], input=json.dumps(calls), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    from playwright.sync_api import sync_playwright  # without node, the browser of the other tests computes

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(content="var module = {};\n" + SCRIPT.read_text(encoding="utf-8"))
        found = page.evaluate("calls => calls.map(([name, args]) => module.exports[name](...args))", calls)
        browser.close()
    return found


def test_memory_is_page_4s_formula():
    draw = random.Random(1)
    lines = DATA["vram"]["coefficients"]
    cases = []
    for _ in range(300):
        length = draw.randrange(64, 9000)
        tokens = length * draw.randrange(1, 17)
        cases.append((draw.choice(list(lines)), tokens, round(tokens * draw.choice([0, 1, draw.random()])), length))
    found = in_javascript([("peak", (lines[way], *rest)) for way, *rest in cases])
    for (way, *rest), bytes_ in zip(cases, found, strict=True):
        assert abs(PeakFormula(lines[way]).peak(*rest) - bytes_) <= 1  # JavaScript and Python round a half differently
    room = [
        (draw.choice(list(lines)), draw.uniform(5e9, 150e9), draw.random(), draw.randrange(256, 5000))
        for _ in range(60)
    ]
    rows = in_javascript([("mostRows", (lines[way], *rest)) for way, *rest in room])
    assert rows == [PeakFormula(lines[way]).most_tokens(*rest) // rest[-1] for way, *rest in room]
    assert len(set(rows)) > 10


def test_the_recorded_coefficients_are_those_of_the_code():
    from helpers.profile import load
    from helpers.vram import fit_tokens, of_profile

    way = fit_tokens(of_profile(load(DATA["vram"]["recipe"])))
    recorded = PeakFormula(DATA["vram"]["coefficients"]["16-bit base"])
    assert recorded.peak(18432, 9000, 3072) == pytest.approx(way.peak(18432, 9000, 3072), rel=1e-9)
    assert DATA["vram"]["cards"] == {c.name: {"gib": c.gib, "context": c.context} for c in CARDS.values()}


def whole(distribution):
    """Every token of a recorded distribution as a logit of its own."""
    import torch

    values = [x for _, x in distribution["tokens"]] + [x for x, n in distribution["others"] for _ in range(n)]
    return torch.tensor([values], dtype=torch.float64)


@pytest.mark.parametrize("name", DATA["sampling"]["beginnings"])
def test_sampling_is_what_transformers_does(name):
    from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    distribution, draw, cases = DATA["sampling"]["beginnings"][name], random.Random(name), []
    for _ in range(80):
        cases.append(
            (draw.uniform(0.1, 2), draw.choice([0, draw.randrange(1, 101)]), draw.choice([1, draw.uniform(0.05, 0.99)]))
        )
    for (t, k, p), found in zip(cases, in_javascript([("sample", (distribution, *c)) for c in cases]), strict=True):
        scores = TemperatureLogitsWarper(t)(None, whole(distribution))
        scores = TopKLogitsWarper(k)(None, scores) if k else scores
        scores = TopPLogitsWarper(p)(None, scores) if p < 1 else scores
        wanted = scores.softmax(-1)[0]
        # sums in another order: the border of top-p may fall one token beside
        assert abs(found["kept"] - int((wanted > 0).sum())) <= 1, (t, k, p)
        got = [x["p"] for x in found["tokens"]]
        assert got == pytest.approx(wanted[: len(got)].tolist(), abs=2e-4)
        assert sum(got) + found["others"]["p"] == pytest.approx(1)
        entropy = -(wanted[wanted > 0] * wanted[wanted > 0].log()).sum()
        assert found["hesitates"] == pytest.approx(float(entropy.exp()), rel=0.01)


@pytest.mark.parametrize("name", DATA["sampling"]["beginnings"])
def test_bins_keep_the_mass_that_the_model_gave(name):
    """The likeliest tokens have the share that they had among all 49,152 exact logits, within the width of a bin."""
    distribution = DATA["sampling"]["beginnings"][name]
    assert len(whole(distribution)[0]) == DATA["sampling"]["vocabulary"]
    for t, mass in distribution["mass_of_tokens"].items():
        (found,) = in_javascript([("sample", (distribution, float(t), 0, 1))])
        assert sum(x["p"] for x in found["tokens"]) == pytest.approx(mass, abs=STEP / 100)


def test_cut_counts_dialogues_and_tokens():
    for lengths in DATA["lengths"]["tokens"].values():
        tokens = np.array(lengths)
        limits = random.Random(2).sample(range(50, 1200), 40)
        for limit, found in zip(limits, in_javascript([("cut", (lengths, limit)) for limit in limits]), strict=True):
            assert found["dialogues"] == pytest.approx((tokens > limit).mean())
            assert found["cutOff"] == pytest.approx((tokens - tokens.clip(max=limit)).sum() / tokens.sum())
            assert found["leftOut"] == pytest.approx(tokens[tokens > limit].sum() / tokens.sum())


def test_recorded_lengths_are_those_of_the_shipped_dialogues():
    from helpers import template
    from helpers.profile import REFERENCE, load

    rows = [json.loads(x) for x in (ROOT / "data/train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert explorers.lengths(rows, template.load(load(REFERENCE))) == DATA["lengths"]


def test_tokens_are_shown_so_that_a_reader_can_tell_them_apart():
    for beginning in DATA["sampling"]["beginnings"].values():
        shown = [text for text, _ in beginning["tokens"]]
        assert len(set(shown)) == len(shown) and all(text.strip() and "\ufffd" not in text for text in shown)
