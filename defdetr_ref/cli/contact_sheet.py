"""Some images of a set with their boxes, on one sheet, and what was found in the set, as a page."""

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from defdetr_ref.cli.detect import COLOURS
from defdetr_ref.cli.lettering import drawable_part, font, name_of
from defdetr_ref.data.checking import CheckedSplit, Finding
from defdetr_ref.data.pictures import read_picture
from defdetr_ref.html_page import html_page

COLUMNS = 6
CELL = (220, 220)  # px, width and height, of an image on the sheet
CAPTION, GAP = 18, 6  # px, height of the line below an image, and what is left free between images
SHOWN = 20  # places of a finding on the page; check.json has all

STYLE = """main { max-width: 88rem; }
h2 { font-size: 1.2rem; margin: 0 0 .5rem; }
section { background: var(--page-plate); border: 1px solid var(--page-line); border-radius: 8px; }
section { padding: 1.1rem 1.4rem; margin-top: 1.25rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .95rem; }
th, td { padding: .2rem 1.4rem .2rem 0; border-top: 1px solid var(--page-line); text-align: right; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: 2px; }
details { margin: .3rem 0; }
details ul { margin: .3rem 0; overflow-wrap: anywhere; }
.problem summary { color: var(--page-wrong); font-weight: 600; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; }
figure { margin: 0; }
figure img { width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; color: var(--page-quiet); overflow-wrap: anywhere; }"""


@dataclass(frozen=True)
class Sample:
    """An image with its boxes drawn, made small, and what stands below it."""

    picture: Image.Image
    file_name: str
    caption: str


def draw_samples(split: CheckedSplit, count: int, seed: int) -> list[Sample]:
    """`count` images of a split, drawn by lot among those that can be read and have boxes, in the file's order."""
    images = split.content.images
    usable = [
        index
        for index, image in enumerate(images)
        if image.file_name in split.fingerprints and len(split.targets.of_image(index)[1])
    ]
    chosen = np.random.default_rng(seed).permutation(usable)[:count]
    samples = []
    for index in sorted(chosen.tolist()):
        picture, _ = read_picture(split.folder / images[index].file_name)
        boxes, labels = split.targets.of_image(index)
        caption = f"{images[index].width}×{images[index].height} px, boxes: {len(labels)}"
        names = [split.content.categories[label] for label in labels.tolist()]
        samples.append(Sample(_small(picture, boxes, labels, names), images[index].file_name, caption))
    return samples


def _small(picture: Image.Image, boxes: np.ndarray, labels: np.ndarray, names: list[str]) -> Image.Image:
    """The picture at most CELL large, with boxes in the colours of their categories, the small ones on top."""
    scale = min(CELL[0] / picture.width, CELL[1] / picture.height)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    small = picture.resize(size, Image.Resampling.BILINEAR)
    pencil = ImageDraw.Draw(small)
    letters = font(9)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for row in np.argsort(-areas):
        left, top, right, bottom = (boxes[row] * scale).tolist()
        colour = COLOURS[labels[row] % len(COLOURS)]
        pencil.rectangle((left, top, right, bottom), outline=colour, width=2)
        name = name_of(names[row], int(labels[row]))
        _, _, wide, high = pencil.textbbox((0, 0), name, font=letters)
        corner = (max(0, min(left, size[0] - wide)), top - high if top >= high else min(bottom, size[1] - high))
        pencil.rectangle(pencil.textbbox(corner, name, font=letters), fill=colour)
        pencil.text(corner, name, fill="white", font=letters)
    return small


def save_sheet(path: Path, samples: dict[str, list[Sample]]) -> None:
    """A PNG: the samples of each split below its name."""
    letters = font(11)
    width, height = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    rows = sum(-(-len(ones) // COLUMNS) for ones in samples.values())
    sheet = Image.new("RGB", (COLUMNS * width + GAP, rows * height + len(samples) * 2 * CAPTION + GAP), "white")
    pencil = ImageDraw.Draw(sheet)
    top = GAP
    for split, ones in samples.items():
        pencil.text((GAP, top + CAPTION // 2), split, fill="black", font=font(14))
        top += 2 * CAPTION
        for number, one in enumerate(ones):
            left, below = GAP + number % COLUMNS * width, top + number // COLUMNS * height
            sheet.paste(one.picture, (left, below))
            name = _fitting(drawable_part(one.file_name), letters, CELL[0])
            pencil.text((left, below + CELL[1] + 2), name, fill="#555555", font=letters)
        top += -(-len(ones) // COLUMNS) * height
    sheet.save(path)


def _fitting(text: str, letters: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, or its end where all of it is wider than `width` px."""
    if letters.getlength(text) <= width:
        return text
    while letters.getlength("…" + text) > width:
        text = text[1:]
    return "…" + text


def save_page(
    path: Path,
    title: str,
    tables: dict[str, list[dict[str, Any]]],
    findings: dict[str, list[Finding]],
    samples: dict[str, list[Sample]],
) -> None:
    """One HTML file, pictures included.

    title: its heading.
    tables: split → rows of `checking.counts_by_category`.
    findings: heading → what was found.
    samples: split → its sample.
    """
    sections = [_section(f"{name}: boxes by category and size", _table(rows)) for name, rows in tables.items()]
    sections += [_section(f"{name}: what was found", _list(ones)) for name, ones in findings.items()]
    sections += [_section(f"{name}: a sample", _figures(ones)) for name, ones in samples.items()]
    text = html_page(title, "\n".join(sections), style=STYLE)
    path.write_text(text, encoding="utf-8", errors="replace", newline="\n")  # half a pair of surrogates is no letter


def _section(heading: str, content: str) -> str:
    return f'<section>\n<h2>{escape(heading)}</h2>\n<div class="wide">{content}</div>\n</section>'


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>no categories</p>"
    head = "".join(f"<th>{escape(key)}</th>" for key in rows[0] if key != "id")
    lines = []
    for row in rows:
        swatch = f'<span class="swatch" style="background:{COLOURS[row["id"] % len(COLOURS)]}"></span>'
        numbers = "".join(f"<td>{value:,}</td>" for key, value in row.items() if key not in ("id", "name"))
        lines.append(f"<tr><td>{swatch}{escape(row['name'])}</td>{numbers}</tr>")
    return f"<table>\n<tr>{head}</tr>\n" + "\n".join(lines) + "\n</table>"


def _list(findings: list[Finding]) -> str:
    if not findings:
        return "<p>nothing</p>"
    parts = []
    for one in findings:
        places = "".join(f"<li>{escape(place)}</li>" for place in one.where[:SHOWN])
        more = f"<li>and {len(one.where) - SHOWN:,} more, in check.json</li>" if len(one.where) > SHOWN else ""
        kind = ' class="problem"' if one.problem else ""
        parts.append(
            f"<details{kind}><summary>{escape(one.what)}: {len(one.where):,}</summary><ul>{places}{more}</ul></details>"
        )
    return "\n".join(parts)


def _figures(samples: list[Sample]) -> str:
    figures = []
    for one in samples:
        file = io.BytesIO()
        one.picture.save(file, "JPEG", quality=90)
        data = base64.b64encode(file.getvalue()).decode("ascii")
        name = escape(one.file_name)
        figures.append(
            f'<figure><img src="data:image/jpeg;base64,{data}" alt="{name}">'
            f"<figcaption>{name}<br>{escape(one.caption)}</figcaption></figure>"
        )
    return '<div class="sheet">\n' + "\n".join(figures) + "\n</div>"
