"""Measurements on their way to the site."""

import pytest
from site_parts.results import Zoo, benchmark_cell, benchmark_lines, convergence_lines, machine_lines

from defdetr_ref import zoo
from defdetr_ref.studies import convergence
from tests.site.building import DOCS

TIMES = {"torch": {"milliseconds": 20.0, "speedup": 1.0}, "numba": {"milliseconds": 2.5, "speedup": 8.0}}
RESULTS = {
    "machine": {"device": "cpu", "processor": "Some CPU", "torch_threads": 3},
    "versions": {"torch": "2.4"},
    "rounds": 7,
    "date": "2026-01-02",
    "operator": {
        "rows": [
            {"workload": "one", "dtype": "float32", "forward": TIMES, "forward + backward": {"torch": TIMES["torch"]}},
            {"workload": "two", "dtype": "float32", "forward": {"numba": TIMES["numba"]}, "forward + backward": {}},
        ]
    },
    "detector": {"image": [480, 640], "preset": "multi_scale", "forward": TIMES, "training step": TIMES},
    "hugging_face": {
        "image": [256, 320],
        "threads": 2,
        "rounds": 5,
        "date": "2026-01-03",
        "models": {
            "Some DETR": {
                "forward": {
                    "transformers": {"milliseconds": 300.4, "speedup": 1.0},
                    "ms_deform_attn": {"milliseconds": 150.0, "speedup": 2.01},
                },
                "training step": {
                    "transformers": {"milliseconds": 900.0, "speedup": 1.0},
                    "ms_deform_attn": {"milliseconds": 901.0, "speedup": 1.0},
                },
            }
        },
    },
    "first_call": {"first": 1.25, "second": 0.0125},
}


def test_a_table_has_a_column_for_each_implementation():
    lines = list(benchmark_lines(RESULTS))
    start = lines.index("| workload | torch | numba |")
    assert lines[start + 1 : start + 4] == ["|---|---:|---:|", "| one, float32 | 20 (1.0) | 2.5 (8.0) |",
                                            "| two, float32 | – | 2.5 (8.0) |"]  # fmt: skip
    assert "| training step | 20 (1.0) | 2.5 (8.0) |" in lines
    assert "The first call in a fresh process takes 1.25 s, the second 12.5 ms." in lines


def test_models_of_transformers_have_a_row_each():
    lines = list(benchmark_lines(RESULTS))
    assert "| Some DETR | 300 → 150 (2.01) | 900 → 901 (1.00) |" in lines
    assert any("an image of 256×320, 2 threads, medians of 5 rounds, 2026-01-03" in line for line in lines)


def test_the_machine_is_named():
    name, made = list(machine_lines(RESULTS))[::2]
    assert name == "**Some CPU**" and made == "PyTorch 2.4, 3 threads, medians of 7 rounds, 2026-01-02."


@pytest.mark.parametrize("missing", ["operator", "detector", "hugging_face", "first_call"])
def test_what_was_not_measured_is_left_out(missing):
    less = {name: content for name, content in RESULTS.items() if name != missing}
    assert len(list(benchmark_lines(less))) < len(list(benchmark_lines(RESULTS)))


def test_tests_on_a_gpu_are_counted():
    machine = {"device": "cuda", "gpu": "Some GPU", "processor": "Some CPU", "torch_threads": 3}
    tests = {"tests": 10, "failures": 1, "errors": 0, "skipped": 2}
    lines = list(machine_lines({"machine": machine, "versions": {"torch": "2.4"}, "tests": tests}))
    assert lines[0] == "**Some GPU**" and lines[2] == "PyTorch 2.4, 7 of 8 GPU tests pass there (2 do not apply)."


def test_a_cell_without_a_time():
    assert benchmark_cell(None) == "–"


def test_a_study_is_a_picture_and_sentences_and_its_runs_are_folded_away():
    lines = list(convergence_lines("96px", convergence.read_runs(DOCS / "studies" / "convergence" / "96px")))
    assert lines[0] == "## Does it converge faster? Images of 96 px" and lines[2].startswith("<img ")
    compared = [line for line in lines if line.startswith("- ")]
    assert compared and all(" against " in line and " times (" in line or "never reached" in line for line in compared)
    fold = lines.index('<details class="fold"><summary>Every run</summary>')
    assert lines[fold + 1 : fold + 3] == ["", "```text"] and lines[-2:] == ["</details>", ""]


def test_every_detector_of_the_zoo_has_its_card_on_the_page():
    text = "\n".join(Zoo.lines(None, None))
    assert zoo.names() and all(f"## `{name}`" in text for name in zoo.names())
    for name in zoo.names():
        card = zoo.card(name)
        assert card["command"] in text and f"{100 * card['metrics']['AP_small']:.1f}" in text
