"""The results as a table, a JSON file and a picture."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from defdetr_ref.explain.style import INK, OKABE_ITO

COLOURS = {
    "torch": "#9A9A9A", "torch.compile": OKABE_ITO[1], "transformers": OKABE_ITO[6], "deformops": OKABE_ITO[5],
    "numba": OKABE_ITO[4], "cuda, textbook": OKABE_ITO[0], "cuda, fast": OKABE_ITO[2], "cuda": OKABE_ITO[4],
}  # fmt: skip
DIRECTIONS = ("forward", "forward + backward")


def as_text(results: dict[str, Any]) -> str:
    """Everything, in lines of up to 110 characters."""
    machine, operator = results["machine"], results["operator"]
    lines = [
        f"{machine.get('gpu', machine['processor'])}, {machine['torch_threads']} threads; "
        f"medians of {results['rounds']} rounds, seed {results['seed']}",
        "rates: " + ", ".join(f"{name} {rate}" for name, rate in operator["rates"].items()),
        *(f"not run: {name} ({why})" for name, why in operator["not_run"].items()),
    ]
    for row in operator["rows"]:
        bounds = row["lower_bounds"]
        lines += [
            "",
            f"{row['workload']}, {row['dtype']}: {bounds['points']:,} points, {bounds['gflop_forward']:g} GFLOP, "
            f"{bounds['megabytes_compulsory']:g} MB compulsory, {bounds['megabytes_gathered']:g} MB gathered",
            f"  lower bound of a forward pass (compulsory traffic, rate of a copy): "
            f"{bounds['milliseconds_forward']:g} ms",
            f"  {'':16}{'forward':>14}{'':>9}{'forward + backward':>26}",
        ]
        for name in row["forward"]:
            cells = "".join(_cell(row[direction].get(name)) for direction in DIRECTIONS)
            lines.append(f"  {name:16}{cells}")
    if operator["extra_peak_megabytes"]:
        lines += ["", "extra memory at the peak, results included, encoder 800×1066 (MB)"]
        for direction, sizes in operator["extra_peak_megabytes"].items():
            lines.append(f"  {direction:20}" + ", ".join(f"{name} {size}" for name, size in sizes.items()))
    if "detector" in results:
        lines += ["", f"whole detector, {results['detector']['preset']}, image {results['detector']['image']}"]
        for direction in ("forward", "training step"):
            cells = ", ".join(
                f"{name} {found['milliseconds']:.0f} ms ({found['speedup']:g}×)"
                for name, found in results["detector"][direction].items()
            )
            lines.append(f"  {direction:16}{cells}")
    if "hugging_face" in results:
        lines += ["", *hugging_face_lines(results["hugging_face"])]
    if "first_call" in results:
        calls = results["first_call"]
        lines += ["", f"first call of a process, cache warm: {calls['first']:.2f} s; second: {calls['second']:.4f} s"]
    return "\n".join(lines)


def hugging_face_lines(found: dict[str, Any]) -> list[str]:
    """Models of transformers: milliseconds with their operator and with ours."""
    height, width = found["image"]
    lines = [
        f"models of transformers, image {height}×{width}, {found['threads']} threads, {found['rounds']} rounds: with "
        "their operator → with ms_deform_attn"
    ]
    for name, steps in found["models"].items():
        cells = ", ".join(
            f"{step} {times['transformers']['milliseconds']:.0f} → {times['ms_deform_attn']['milliseconds']:.0f} ms "
            f"({times['ms_deform_attn']['speedup']:.2f}×)"
            for step, times in steps.items()
        )
        lines.append(f"  {name:16}{cells}")
    return lines


def _cell(found: dict[str, float] | None) -> str:
    return f"{'–':>23}" if found is None else f"{found['milliseconds']:>11.3f} ms{found['speedup']:>8.1f}×"


def write_json(results: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def plot(results: dict[str, Any]) -> Figure:
    """Times on a logarithmic axis, a panel for each direction; the number at a bar: how many times as fast as torch."""
    rows = [row for row in results["operator"]["rows"] if row["dtype"] == "float32"]
    names = list(dict.fromkeys(name for row in rows for name in row["forward"]))
    figure = Figure(figsize=(10, 1.2 + 0.22 * len(rows) * len(names)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    height = 0.8 / len(names)
    for panel, direction in zip(panels, DIRECTIONS, strict=True):
        for i, name in enumerate(names):
            found = [(y, row[direction][name]) for y, row in enumerate(rows) if name in row[direction]]
            places = [y + (i - (len(names) - 1) / 2) * height for y, _ in found]
            times = [x["milliseconds"] for _, x in found]
            bars = panel.barh(places, times, height * 0.9, color=COLOURS[name], label=name)
            labels = [f"{x['speedup']:.1f}×" if name != "torch" else "" for _, x in found]
            panel.bar_label(bars, labels, padding=3, fontsize=8, color=INK)
        panel.set_xscale("log")
        panel.margins(x=0.12)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel("milliseconds, logarithmic; shorter is faster")
        panel.set_title(direction, fontsize=10, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(rows)), [row["workload"] for row in rows])
    panels[0].invert_yaxis()
    panels[1].legend(frameon=False, fontsize=8, loc="lower right")
    machine = results["machine"]
    where = machine.get("gpu") or f"{machine['processor']}, {machine['torch_threads']} threads"
    figure.suptitle(f"The operator on {where}, float32", fontsize=10)
    return figure
