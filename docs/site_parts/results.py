"""What was measured, from the JSON files that the repository's own commands wrote: whatever is there at build time.

| directive    | reads                                            | written by               |
|--------------|--------------------------------------------------|--------------------------|
| `benchmarks` | docs/benchmarks/*.json, and the .png beside each | `make bench`, `make gpu` |
| `studies`    | docs/studies                                     | `defdetr study NAME`     |
| `zoo`        | the cards in defdetr_ref/zoo/weights             | `defdetr zoo train NAME` |
"""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from defdetr_ref import zoo
from defdetr_ref.course.figures import convergence as figures
from defdetr_ref.studies import ablation, analysis, convergence, cost, finer_maps, outside
from defdetr_ref.zoo.cards import format_card, table

FOLD = '<details class="fold"><summary>{words}</summary>'
NONE_YET = "No results are stored here yet; `{command}` writes them."
DIRECTIONS = ("forward", "forward + backward")
UNTIMED = "–"
CURVES = {"AP": "AP, all objects", "AP_small": "AP, small objects"}
DOTS_PER_INCH = 120


class Results(SphinxDirective):
    """A directive whose content is Markdown, made from files at every build."""

    command, folder = "", Path()

    def run(self) -> list[nodes.Node]:
        docs = Path(self.env.app.confdir)
        self.env.note_reread()  # files may come, not only change
        text = "\n".join(self.lines(docs))
        return self.parse_text_to_nodes(text or NONE_YET.format(command=self.command))

    def lines(self, docs: Path) -> Iterator[str]:
        raise NotImplementedError


class Benchmarks(Results):
    command = "make bench"

    def lines(self, docs: Path) -> Iterator[str]:
        for path in sorted((docs / "benchmarks").glob("*.json")):
            results = json.loads(path.read_text(encoding="utf-8"))
            picture = path.with_suffix(".png")
            yield from machine_lines(results)
            if picture.exists():
                yield from ("", f"![Milliseconds of every implementation](benchmarks/{picture.name})", "")
            yield from benchmark_lines(results)


class Studies(Results):
    command = "defdetr study"

    def lines(self, docs: Path) -> Iterator[str]:
        folder = docs / "studies"
        for canvas in sorted((folder / "convergence").glob("*px"), reverse=True):
            yield from convergence_lines(canvas.name, convergence.read_runs(canvas))
        if (folder / "ablation").is_dir():
            runs = convergence.read_runs(folder / "ablation")
            yield from ("## One change at a time", "", picture(figures.plot_ablation(runs), "AP gained by each change"))
            yield from ("", "A dot is a seed, a bar their mean.", "", *folded("Every run", ablation.table(runs)))
        if (folder / "finer_maps.json").is_file():
            content = _read(folder / "finer_maps.json")
            yield from ("## What a finer map costs", "", picture(figures.plot_finer_maps(content), "time and memory"))
            yield from ("", *folded("In numbers", finer_maps.table(content)))
        if (folder / "cost.json").is_file():
            yield from ("## What does it cost?", "", "Counted and measured. Notebook 12 reads the same file.")
            yield from ("", *text_block(cost.table(_read(folder / "cost.json"))))
        if (folder / "outside").is_dir():
            yield from ("## What is read outside the image", "")
            yield from ("`zoo:shapes`, briefly trained with other points and levels; shares are of the weight.", "")
            yield from text_block(outside.table(outside.read_runs(folder / "outside")))


def convergence_lines(canvas: str, runs: list[dict[str, Any]]) -> Iterator[str]:
    """What one canvas has shown: curves, the last epoch of every run, and how many times as fast."""
    yield from (f"## Does it converge faster? Images of {canvas.removesuffix('px')} px", "")
    yield from (picture(figures.plot_ap(runs, CURVES), "AP by epoch"), "")
    yield "Lines are means over the seeds, bands reach from the lowest to the highest. Notebook 11 reads these files."
    yield from ("", *(f"- {line}" for line in analysis.factor_table(runs).splitlines()))
    yield from ("", *folded("Every run", convergence.table(runs)))


def picture(figure: Figure, alt: str) -> str:
    """A figure as a line of HTML that needs no file beside the page."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}">'


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


class Zoo(Results):
    command = "defdetr zoo train NAME"

    def lines(self, docs: Path) -> Iterator[str]:
        cards = [zoo.card(name) for name in zoo.names()]
        if cards:
            yield from text_block(table(cards))
        for card in cards:
            yield from (f"## `{card['name']}`", "", *text_block(format_card(card)))


def folded(words: str, text: str) -> list[str]:
    """A text block that is there when its title is clicked."""
    return [FOLD.format(words=words), "", *text_block(text), "</details>", ""]


def text_block(text: str) -> list[str]:
    return ["```text", text.rstrip(), "```", ""]


def machine_lines(results: dict[str, Any]) -> Iterator[str]:
    machine, versions = results["machine"], results["versions"]
    yield f"**{machine.get('gpu', machine['processor'])}**"
    made = [f"PyTorch {versions['torch']}"]
    if "rounds" in results:
        made += [f"{machine['torch_threads']} threads", f"medians of {results['rounds']} rounds", str(results["date"])]
    if "tests" in results:
        tests = results["tests"]
        run = tests.get("tests", 0) - tests.get("skipped", 0)
        passed = run - tests.get("failures", 0) - tests.get("errors", 0)
        made.append(f"{passed} of {run} GPU tests pass there ({tests.get('skipped', 0)} do not apply)")
    yield from ("", ", ".join(made) + ".", "")


def benchmark_lines(results: dict[str, Any]) -> Iterator[str]:
    """A table of milliseconds; in brackets how many times as fast as PyTorch's `grid_sample`."""
    for direction in DIRECTIONS:
        rows = [row for row in results.get("operator", {"rows": []})["rows"] if row.get(direction)]
        if not rows:
            continue
        names = list(dict.fromkeys(name for row in rows for name in row[direction]))
        yield from (f"Milliseconds, {direction}; in brackets, how many times as fast as `torch`:", "")
        yield f"| workload | {' | '.join(names)} |"
        yield f"|---|{'---:|' * len(names)}"
        for row in rows:
            cells = [benchmark_cell(row[direction].get(name)) for name in names]
            yield f"| {row['workload']}, {row['dtype']} | {' | '.join(cells)} |"
        yield ""
    if "detector" in results:
        yield from detector_lines(results["detector"])
    if "hugging_face" in results:
        yield from hugging_face_lines(results["hugging_face"])
    if "first_call" in results:
        first, second = results["first_call"]["first"], results["first_call"]["second"]
        yield from (f"The first call in a fresh process takes {first:.2f} s, the second {1000 * second:.1f} ms.", "")


def benchmark_cell(found: dict[str, float] | None) -> str:
    return UNTIMED if found is None else f"{found['milliseconds']:.3g} ({found['speedup']:.1f})"


def detector_lines(detector: dict[str, Any]) -> Iterator[str]:
    height, width = detector["image"]
    yield from (f"The whole detector, preset `{detector['preset']}`, an image of {height}×{width}:", "")
    steps = [name for name in ("forward", "training step") if name in detector]
    names = list(detector[steps[0]])
    yield f"| milliseconds | {' | '.join(names)} |"
    yield f"|---|{'---:|' * len(names)}"
    for step in steps:
        yield f"| {step} | {' | '.join(benchmark_cell(detector[step].get(name)) for name in names)} |"
    yield ""


def hugging_face_lines(found: dict[str, Any]) -> Iterator[str]:
    height, width = found["image"]
    yield (
        f"Models of transformers with random weights, an image of {height}×{width}, {found['threads']} threads, "
        f"medians of {found['rounds']} rounds, {found['date']}; in brackets, how many times as fast with "
        "`use_ms_deform_attn`:"
    )
    yield from ("", "| milliseconds | forward | training step |", "|---|---:|---:|")
    for name, steps in found["models"].items():
        cells = []
        for step in ("forward", "training step"):
            theirs, ours = steps[step]["transformers"], steps[step]["ms_deform_attn"]
            cells.append(f"{theirs['milliseconds']:.0f} → {ours['milliseconds']:.0f} ({ours['speedup']:.2f})")
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("benchmarks", Benchmarks)
    app.add_directive("studies", Studies)
    app.add_directive("zoo", Zoo)
    return {"parallel_read_safe": True}
