"""The picture for "Map": the whole model on one page, each box a link to its notebook."""

from dataclasses import dataclass
from html import escape
from string import Template

from defdetr_ref.course.lessons import LESSONS
from defdetr_ref.explain.style import INK, OKABE_ITO, text_colour

NOTEBOOKS = tuple(lesson.file for lesson in LESSONS)  # a notebook's number is its place
WIDTH, HEIGHT = 960, 640  # of the drawing, in its own units
BOX_WIDTH, BOX_HEIGHT = 186, 64
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
.defdetr-map > div { position: relative; aspect-ratio: $width / $height; background: white; color: $ink;
  font: 1.42cqw/1.3 system-ui, "DejaVu Sans", sans-serif; }
.defdetr-map svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.defdetr-map a { position: absolute; box-sizing: border-box; display: flex; flex-direction: column;
  justify-content: center; text-align: center; text-decoration: none; border: 1px solid $ink; border-radius: .6cqw; }
.defdetr-map a:hover, .defdetr-map a:focus-visible { outline: .3cqw solid $ink; text-decoration: none; }
.defdetr-map b { font-size: 1.55cqw; }
</style>
<div>
<svg viewBox="0 0 $width $height" aria-hidden="true">
<defs><marker id="defdetr-map-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0 0 8 4 0 8z" fill="$ink"/></marker></defs>
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
    of the built site, which a browser knows by its name *.html, the links lead to the site's pages instead.
    """
    drawing = [_frame(frame) for frame in FRAMES] + [_arrow(points) for points in ARROWS]
    drawing += [f'<text x="{x}" y="{y}" text-anchor="middle" font-size="14">{note}</text>' for note, x, y in NOTES]
    boxes = [_box(box) for box in BOXES]
    return PAGE.substitute(width=WIDTH, height=HEIGHT, ink=INK, drawing="\n".join(drawing), boxes="\n".join(boxes))


def _frame(frame: Frame) -> str:
    place = f'x="{FRAME_MARGIN}" y="{frame.top}" width="{WIDTH - 2 * FRAME_MARGIN}" height="{frame.height}"'
    title = f'<text x="{FRAME_MARGIN + 4}" y="{frame.top - 8}" font-size="15" font-weight="600">{frame.title}</text>'
    return f'<rect {place} rx="8" fill="#F6F7F8" stroke="#C8C8C8"/>\n{title}'


def _arrow(points: tuple[tuple[int, int], ...]) -> str:
    places = " ".join(f"{x},{y}" for x, y in points)
    style = f'fill="none" stroke="{INK}" stroke-width="1.5" marker-end="url(#defdetr-map-head)"'
    return f'<polyline points="{places}" {style}/>'


def _box(box: MapBox) -> str:
    """A link at its place, which is given in percent so that the map shrinks with the page."""
    place = ";".join(
        f"{side}:{100 * length / whole:.2f}%"
        for side, length, whole in (
            ("left", box.left, WIDTH),
            ("top", box.top, HEIGHT),
            ("width", BOX_WIDTH, WIDTH),
            ("height", BOX_HEIGHT, HEIGHT),
        )
    )
    style = f"{place};background:{box.colour};color:{text_colour(box.colour)}"
    style += f";border-bottom:.55cqw solid {ATTENTION}" if box.attends else ""
    words = f"<b>{box.notebook:02d} · {escape(box.title)}</b> <span>{escape(box.text)}</span>"
    return f'<a href="{notebook_file(box.notebook)}" style="{style}">{words}</a>'
