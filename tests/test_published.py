"""Predictions beside what others measured on GPUs: every number with its source, and the errors that the page shows."""

import json

import pytest

from helpers.vram import published

DATA = published.measured()


def test_every_run_has_a_source_a_shape_and_a_prediction():
    predicted = {(p["source"], p["row"]) for p in json.loads(published.PREDICTED.read_text())["runs"]}
    assert len(DATA["runs"]) >= 12 and len({r["source"] for r in DATA["runs"]}) >= 3
    for run in DATA["runs"]:
        assert run["config"] in DATA["configs"] and (run["source"], run["row"]) in predicted
        assert DATA["sources"][run["source"]]["url"].startswith("https://")
        published.recipe_of(run, DATA)


def test_allocated_within_two_percent_and_reserved_within_five():
    assert published.medians()["allocated"] <= 0.02 and published.medians()["reserved"] <= 0.05


def test_the_peers_are_further_away():
    found = [r for r in published.rows() if r["quantity"] != "allocated"]
    ours = sum(abs(r["error"]) for r in found)
    for name in found[0]["peers"]:
        assert sum(abs(r["peers"][name]) for r in found) > 4 * ours, name


@pytest.mark.parametrize("run", DATA["runs"][::4], ids=lambda r: r["row"])
def test_the_recorded_predictions_are_what_is_predicted_now(run):
    recorded = {(p["source"], p["row"]): p for p in json.loads(published.PREDICTED.read_text())["runs"]}
    now, then = published.predict(run, DATA), recorded[run["source"], run["row"]]
    for key in ("allocated_mib", "reserved_mib", "process_mib"):
        assert now[key] == pytest.approx(then[key], rel=1e-3), key


@pytest.mark.parametrize("kernel", sorted({r[0] for r in DATA["kernels"]["rows"]}))
def test_building_blocks_within_a_thousandth(kernel):
    from helpers.vram.blocks import block_peak

    for name, size, measured, gpu in DATA["kernels"]["rows"]:
        if name == kernel:
            assert block_peak(name, size, gpu) == pytest.approx(measured, rel=1e-3), size
