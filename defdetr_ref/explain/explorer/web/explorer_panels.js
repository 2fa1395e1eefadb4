// The pictures one works on: the image, and the grid of every level. They hand pointer and keys to the actions.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HOVER_REACH = 4; // px beyond a marker's edge
const TOOLTIP_GAP = 14; // px between the pointer and the numbers
const LEVEL_MARKERS = 1.3; // a level's picture is small: its markers are larger in proportion

function makePanel(className, label, level, actions) {
  const canvas = element("canvas", { className, tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", label);
  const panel = { canvas, level, frame: null, samples: [] };
  const pick = (event) => actions.pick(panel, event);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    pick(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    actions.hover(panel, event);
    if (event.buttons & 1) pick(event);
  });
  canvas.addEventListener("pointerleave", () => actions.hover(null));
  canvas.addEventListener("keydown", (event) => onKey(event, actions));
  return panel;
}

/** Where on the picture that is seen a pointer is; after a change of width this is the old picture, stretched. */
function onFrame({ canvas, frame }, { offsetX, offsetY }) {
  return {
    x: (offsetX * frame.areaWidth) / canvas.clientWidth,
    y: (offsetY * frame.areaHeight) / canvas.clientHeight,
  };
}

function clampToImage({ x, y }) {
  const inside = (value) => Math.min(Math.max(value, 0), 1 - 1e-6);
  return { x: inside(x), y: inside(y) };
}

function onKey(event, actions) {
  const calls = {
    PageUp: () => actions.next(-1),
    PageDown: () => actions.next(1),
    Home: () => actions.first(),
    "[": () => actions.layer(-1),
    "]": () => actions.layer(1),
    "+": () => actions.zoom(1),
    "-": () => actions.zoom(-1),
  };
  const arrow = ARROWS[event.key];
  if (!arrow && !calls[event.key]) return;
  event.preventDefault();
  event.stopPropagation(); // a notebook has meanings of its own for these keys
  if (arrow) actions.step(...arrow, event.shiftKey ? 4 : 1);
  else calls[event.key]();
}

/** The sample whose marker is nearest to the pointer, if one is within reach. */
function sampleAt(panel, x, y) {
  const reach = LARGEST_RADIUS * panel.frame.size + HOVER_REACH;
  const gap = (sample) => distance(markerPlace(panel.frame, sample, SMALLEST_RADIUS), { x, y });
  const near = panel.samples.filter((sample) => gap(sample) < reach);
  return near.length ? closest(near, gap) : null;
}

/** The numbers of the sample under the pointer. */
class Tooltip {
  constructor(root) {
    this.root = root;
    this.plate = element("div", { className: "dd-tooltip", hidden: true });
  }

  /** Remember where the pointer is: over a panel, or over none. */
  follow(panel, event) {
    this.at = panel && { panel, offsetX: event.offsetX, offsetY: event.offsetY };
  }

  show(scene) {
    const { panel } = this.at ?? {};
    const { x, y } = panel?.frame ? onFrame(panel, this.at) : {};
    const sample = panel?.frame ? sampleAt(panel, x, y) : null;
    this.plate.hidden = !sample;
    if (!sample) return;
    const { image, layer } = scene;
    const place = `x ${(sample.x * image.width).toFixed(1)}, y ${(sample.y * image.height).toFixed(1)} px`;
    const lines = [
      `head ${sample.head}, level ${sample.level}, point ${sample.point}`,
      `${place}; ${pixelRead(layer, sample)}`,
    ];
    const weight = element("b", { textContent: `weight ${sample.weight.toFixed(3)}` });
    this.plate.replaceChildren(weight, ...lines.flatMap((text) => [element("br"), text]));
    this.moveTo(panel.canvas, this.at);
  }

  moveTo(canvas, { offsetX, offsetY }) {
    const [outer, inner] = [this.root.getBoundingClientRect(), canvas.getBoundingClientRect()];
    const left = inner.left - outer.left + offsetX + TOOLTIP_GAP;
    const last = this.root.clientWidth - this.plate.offsetWidth - TOOLTIP_GAP;
    this.plate.style.left = `${Math.max(0, Math.min(left, last))}px`;
    this.plate.style.top = `${inner.top - outer.top + offsetY + TOOLTIP_GAP}px`;
  }
}

/** The image with everything over it. `scene` is what explorer.js put together. */
function drawMain(panel, scene) {
  const { image, layer, style, picture, shown, view, zoom } = scene;
  const frame = (panel.frame = makeFrame(panel.canvas, image, MARGIN, zoom));
  drawPicture(frame, picture, image, view.heat_map && image.proposals ? 0.45 : 0.7);
  if (view.heat_map && image.proposals) {
    scene.heat.forEach((values, level) => {
      if (view.levels.includes(level))
        drawCells(frame, layer, layer.shapes[level], values, style, (value) => 0.75 * value);
    });
  }
  if (layer.query_kind === "objects") drawObjects(frame, image, layer, view.query, scene.candidates);
  for (const box of truthOf(scene)) drawBox(frame, box, style.truth, { width: 1.5 });
  drawBoxes(frame, scene);
  panel.samples = zoom ? scene.samples.filter((sample) => !markerPlace(frame, sample, 0).isBeyond) : scene.samples;
  drawSamples(frame, panel.samples, scene);
  drawCross(frame, shown.reference, style, 9);
}

/** Around an object query: the boxes of all layers thin, the one before this layer dashed, the one after it strong. */
function drawBoxes(frame, { image, layer, style, view, shown, boxes }) {
  if (layer.query_kind !== "objects" || !boxes.length) return;
  boxes.forEach((box, step) => {
    if (box && step !== view.layer && step !== view.layer + 1)
      drawBox(frame, box, style.box, { width: 1, opacity: 0.35 });
  });
  if (boxes[view.layer]) drawBox(frame, boxes[view.layer], style.start, { dashed: true });
  const after = shown.box ?? boxes[view.layer + 1];
  const caption = `${image.objects.names[view.query]} ${image.objects.scores[view.query].toFixed(2)}`;
  if (after) drawBox(frame, after, style.box, { width: 2.5, caption });
}

/** One of the layers that stand side by side. */
function drawLayer(panel, scene) {
  const { view, shown, isExact } = scene;
  const caption = panel.canvas.previousElementSibling;
  caption.textContent = `layer ${view.layer + 1}${isExact ? "" : `: points of query ${shown.query}`}`;
  drawMain(panel, scene);
}

/** One level: how much of the weight each of its pixels gets, and the points that read it. */
function drawLevel(panel, scene) {
  const { image, layer, style, picture, shown, view } = scene;
  const { level } = panel;
  const frame = (panel.frame = makeFrame(panel.canvas, image, 0));
  drawPicture(frame, picture, image, 0.4);
  panel.samples = scene.samples.filter((sample) => sample.level === level);
  const heat = view.heat_map && scene.heat ? scene.heat[level] : null;
  const weights = weightOfPixels(layer, level, panel.samples).map((weight) => Math.min(weight / scene.heaviest, 1));
  drawCells(frame, layer, layer.shapes[level], heat ?? weights, style, (value) => 0.35 + 0.55 * value);
  drawGrid(frame, layer, layer.shapes[level]);
  drawSamples(frame, panel.samples, scene, LEVEL_MARKERS);
  drawCross(frame, shown.reference, style, 6);
}
