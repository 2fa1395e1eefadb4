"""The picture for "Map": the whole model on one page, each box a link to its notebook."""

from dataclasses import dataclass
from html import escape
from string import Template

from defdetr_ref.course.lessons import LESSONS
from defdetr_ref.explain.style import OKABE_ITO, PAGE_GROUND, PAGE_INK, PAGE_LINE, PAGE_PLATE, text_colour

NOTEBOOKS = tuple(lesson.file for lesson in LESSONS)  # a notebook's number is its place
WIDTH, HEIGHT = 960, 640  # of the drawing, in its own units
BOX_WIDTH, BOX_HEIGHT = 186, 64
NARROW = 700  # px; in a column that is no wider, the boxes are a list: the drawing's words would be below 10 px
MODEL, ATTENTION, TRAINING, BEYOND = OKABE_ITO[1], OKABE_ITO[0], "#D9D9D9", OKABE_ITO[3]


@dataclass(frozen=True)
class MapBox:
    """One box: the notebook it leads to, what it says, and where its top left corner is."""

    notebook: int
    title: str
    text: str
    left: int
    top: int
    colour: str
    attends: bool = False  # deformable attention is inside


@dataclass(frozen=True)
class Frame:
    """A rectangle around several boxes, with a title of its own."""

    title: str
    top: int
    height: int

    def holds(self, y: int) -> bool:
        return self.top < y < self.top + self.height


BOXES = (
    MapBox(4, "Many scales", "backbone and pyramid", 78, 62, MODEL),
    MapBox(5, "Encoder", "queries are pixels", 294, 62, MODEL, attends=True),
    MapBox(8, "Two stages", "pixels propose queries", 510, 62, MODEL),
    MapBox(6, "Decoder, heads", "queries are objects", 726, 62, MODEL, attends=True),
    MapBox(7, "Refinement", "layers correct the box", 726, 178, MODEL),
    MapBox(9, "Matching, loss", "one query an object", 510, 178, TRAINING),
    MapBox(10, "Training", "on a COCO-format set", 294, 178, TRAINING),
    MapBox(2, "Without keys", "the query says where", 127, 320, ATTENTION),
    MapBox(3, "First offsets", "a star to start from", 387, 320, ATTENTION),
    MapBox(1, "Between pixels", "each point is read", 647, 320, ATTENTION),
    MapBox(11, "Against DETR", "which learns faster", 33, 460, BEYOND),
    MapBox(12, "What it costs", "FLOPs are not time", 269, 460, BEYOND),
    MapBox(13, "The kernel", "a thread for each sum", 505, 460, BEYOND),
    MapBox(14, "Relatives", "local, sparse, low rank", 741, 460, BEYOND),
    MapBox(15, "What it learned", "asked by measurements", 127, 544, BEYOND),
    MapBox(16, "Find the bug", "named by symptoms", 387, 544, BEYOND),
    MapBox(17, "Build it whole", "from your own parts", 647, 544, BEYOND),
)
FRAMES = (
    Frame("The model, and what trains it", 30, 232),
    Frame("Inside the attention of encoder and decoder (orange edge)", 300, 104),
    Frame("The whole, compared, taken apart and asked", 440, 188),
)
FRAME_MARGIN = 10
# Through these places each arrow runs.
ARROWS = (
    ((58, 94), (78, 94)),
    ((264, 94), (294, 94)),
    ((480, 94), (510, 94)),
    ((696, 94), (726, 94)),
    ((810, 126), (810, 178)),
    ((850, 178), (850, 126)),
    ((750, 126), (750, 154), (603, 154), (603, 178)),
    ((510, 210), (480, 210)),
    ((313, 352), (387, 352)),
    ((573, 352), (647, 352)),
)
NOTES = (("image", 34, 98), ("boxes, classes", 676, 148))  # plain text: what goes in and comes out

PAGE = Template("""<div class="defdetr-map">
<style>
.defdetr-map { container-type: inline-size; max-width: ${width}px; }
.defdetr-map > div { position: relative; aspect-ratio: $width / $height; background: $ground; color: $ink;
  font: 1.42cqw/1.3 system-ui, "DejaVu Sans", sans-serif; }
.defdetr-map svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.defdetr-map rect { fill: $plate; stroke: $line; }
.defdetr-map p { display: none; }
.defdetr-map a { position: absolute; left: var(--left); top: var(--top); width: $box_width; height: $box_height;
  box-sizing: border-box; display: flex; flex-direction: column; justify-content: center; text-align: center;
  text-decoration: none; border: 1px solid $ink; border-radius: .6cqw; }
.defdetr-map a.attends { border-bottom: max(.55cqw, 3px) solid $attention; }
.defdetr-map a:hover, .defdetr-map a:focus-visible { outline: max(.3cqw, 2px) solid $ink; text-decoration: none; }
.defdetr-map b { font-size: 1.09em; }
@container (max-width: ${narrow}px) { /* too small to be read as a drawing: a list, whose arrows are the drawing's */
  .defdetr-map > div { aspect-ratio: auto; font-size: 14px; }
  .defdetr-map svg { display: none; }
  .defdetr-map p { display: block; margin: 14px 0 6px; font-weight: 600; }
  .defdetr-map a { position: relative; left: 0; top: 0; width: auto; height: auto; min-height: 44px; margin: 6px 0;
    border-radius: 6px; }
  .defdetr-map .flow a + a { margin-top: 22px; }
  .defdetr-map .flow a + a::before { content: "↓"; position: absolute; top: -21px; left: 0; right: 0; color: $ink; }
}
</style>
<div>
<svg viewBox="0 0 $width $height" fill="currentColor" aria-hidden="true">
<defs><marker id="defdetr-map-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0 0 8 4 0 8z"/></marker></defs>
$drawing
</svg>
$boxes
</div>
<script>
if (location.pathname.endsWith(".html"))
  for (const link of document.querySelectorAll(".defdetr-map a"))
    link.setAttribute("href", link.getAttribute("href").replace(".ipynb", ".html"));
</script>
</div>
""")


def notebook_file(number: int) -> str:
    """The file of a notebook, in the folder of all notebooks. Raises ValueError for a number that is not there."""
    if not 0 <= number < len(NOTEBOOKS):
        raise ValueError(f"notebook {number} does not exist; the course has 00 to {len(NOTEBOOKS) - 1}")
    return f"{NOTEBOOKS[number]}.ipynb"


def model_map() -> str:
    """The map as HTML: an SVG drawing of the arrows, and over it a link for each box. Needs no network.

    Boxes are HTML links and not parts of the SVG, because JupyterLab opens only those in a tab of its own. On a page
    of the built site, which a browser knows by its name *.html, the links lead to the site's pages instead. In a narrow
    column the boxes are a list.
    """
    drawing = [_frame(frame) for frame in FRAMES] + [_arrow(points) for points in ARROWS]
    drawing += [f'<text x="{x}" y="{y}" text-anchor="middle" font-size="14">{note}</text>' for note, x, y in NOTES]
    return PAGE.substitute(
        width=WIDTH,
        height=HEIGHT,
        narrow=NARROW,
        box_width=_percent(BOX_WIDTH, WIDTH),
        box_height=_percent(BOX_HEIGHT, HEIGHT),
        ground=PAGE_GROUND,
        plate=PAGE_PLATE,
        line=PAGE_LINE,
        ink=PAGE_INK,
        attention=ATTENTION,
        drawing="\n".join(drawing),
        boxes="\n".join(map(_group, FRAMES)),
    )


def _frame(frame: Frame) -> str:
    place = f'x="{FRAME_MARGIN}" y="{frame.top}" width="{WIDTH - 2 * FRAME_MARGIN}" height="{frame.height}"'
    title = f'<text x="{FRAME_MARGIN + 4}" y="{frame.top - 8}" font-size="15" font-weight="600">{frame.title}</text>'
    return f'<rect {place} rx="8"/>\n{title}'


def _arrow(points: tuple[tuple[int, int], ...]) -> str:
    places = " ".join(f"{x},{y}" for x, y in points)
    style = 'fill="none" stroke="currentColor" stroke-width="1.5" marker-end="url(#defdetr-map-head)"'
    return f'<polyline points="{places}" {style}/>'


def _group(frame: Frame) -> str:
    """The boxes of a frame, below a title that only the list shows; in a frame with arrows one leads to the next."""
    boxes = "\n".join(_box(box) for box in BOXES if frame.holds(box.top))
    flow = ' class="flow"' if any(frame.holds(points[-1][1]) for points in ARROWS) else ""
    return f"<section{flow}><p>{escape(frame.title)}</p>\n{boxes}</section>"


def _box(box: MapBox) -> str:
    """A link at its place, which is given in percent so that the map shrinks with the page."""
    place = f"--left:{_percent(box.left, WIDTH)};--top:{_percent(box.top, HEIGHT)}"
    style = f"{place};background:{box.colour};color:{text_colour(box.colour)}"
    words = f"<b>{box.notebook:02d} · {escape(box.title)}</b> <span>{escape(box.text)}</span>"
    attends = ' class="attends"' if box.attends else ""
    return f'<a href="{notebook_file(box.notebook)}"{attends} style="{style}">{words}</a>'


def _percent(length: int, whole: int) -> str:
    return f"{100 * length / whole:.2f}%"
