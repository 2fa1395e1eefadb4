// The laboratory: the reader moves a shape, the detector looks again, and its points and boxes follow.

import { sigmoid } from "./boxes.js";
import { install } from "./live.js";
import { boxOf, firstScene, iou, makeGround, paintScene, shapeAt } from "./scene.js";

const STEP = 2; // px of the image, for each press of an arrow key
const GROWTH = 1.1; // of a shape, for each press of + or -
const SMALLEST = 3; // px, radius of a shape
const HEAD_COLOURS = ["#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c"];
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** What is asked of a detector's answer: of each query in one layer its best class, score and box. */
export function detectionsOf(answer, layer, layers) {
  const prefix = layer === layers - 1 ? "" : `aux_outputs.${layer}.`;
  const [logits, boxes] = [answer[`${prefix}pred_logits`], answer[`${prefix}pred_boxes`]];
  const [queries, classes] = logits.shape;
  return Array.from({ length: queries }, (_, query) => {
    const scores = logits.subarray(query * classes, (query + 1) * classes);
    const label = scores.indexOf(Math.max(...scores));
    return { query, label, score: sigmoid(scores[label]), box: Array.from(boxes.subarray(4 * query, 4 * query + 4)) };
  });
}

/** The query that a shape is found by: of those whose box fits it best, the surest. */
export function queryOf(detections, box) {
  const worth = ({ score, box: found }) => score * iou(found, box);
  return detections.reduce((best, each) => (worth(each) > worth(best) ? each : best));
}

export class Laboratory {
  /** root: with the elements of page.py; names: label → word; size: [height, width] of the image. */
  constructor(root, names, [height, width]) {
    this.root = root;
    this.names = names;
    this.image = Object.assign(document.createElement("canvas"), { height, width });
    this.shapes = firstScene(height, width);
    this.ground = makeGround(height, width);
    this.held = 0;
    this.dragged = null; // from the pointer to the middle of the shape that it drags
    this.waiting = false; // a frame is asked for
    this.drawn = 0;
    this.find = (name) => root.querySelector(`[data-part=${name}]`);
    this.view = this.find("view");
  }

  /** Begin with a detector that is ready. */
  start(detector) {
    this.detector = detector;
    this.layers = detector.config.decoder_layers;
    const layer = this.find("layer");
    [layer.max, layer.value] = [this.layers, this.layers];
    for (const name of ["layer", "threshold", "points"]) this.find(name).addEventListener("input", () => this.ask());
    this.view.addEventListener("pointerdown", (event) => this.take(event));
    this.view.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) this.view.addEventListener(end, () => (this.dragged = null));
    this.view.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.ask()).observe(this.view); // at once, too
  }

  get shape() {
    return this.shapes[this.held];
  }

  /** The pointer's place in the image. */
  placeOf(event) {
    const seen = this.view.getBoundingClientRect();
    const { width, height } = this.image;
    return [((event.clientX - seen.left) / seen.width) * width, ((event.clientY - seen.top) / seen.height) * height];
  }

  take(event) {
    const [x, y] = this.placeOf(event);
    const found = shapeAt(this.shapes, x, y);
    if (found < 0) return;
    this.held = found;
    this.dragged = [this.shape.x - x, this.shape.y - y];
    this.view.setPointerCapture(event.pointerId);
    this.ask();
  }

  drag(event) {
    if (this.dragged === null) return;
    const [x, y] = this.placeOf(event);
    this.moveTo(x + this.dragged[0], y + this.dragged[1]);
  }

  /** Arrows move the shape, + and - change its size, r turns it, Enter takes the next one. */
  press(event) {
    const { key } = event;
    if (key in MOVES) this.moveTo(this.shape.x + STEP * MOVES[key][0], this.shape.y + STEP * MOVES[key][1]);
    else if (key === "+") this.shape.radius = Math.min(this.shape.radius * GROWTH, this.image.height / 2);
    else if (key === "-") this.shape.radius = Math.max(this.shape.radius / GROWTH, SMALLEST);
    else if (key === "r") this.shape.angle += Math.PI / 24;
    else if (key === "Enter") this.held = (this.held + 1) % this.shapes.length;
    else return;
    event.preventDefault();
    this.ask();
  }

  moveTo(x, y) {
    this.shape.x = Math.min(Math.max(x, 0), this.image.width);
    this.shape.y = Math.min(Math.max(y, 0), this.image.height);
    this.ask();
  }

  /** Look again at the next frame; what changes until then is seen with it. */
  ask() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.look();
    });
  }

  look() {
    const { height, width } = this.image;
    const pixels = paintScene(this.image, this.shapes, this.ground);
    const start = performance.now();
    this.answer = this.detector.forward(pixels, height, width);
    const spent = performance.now() - start;
    const layer = this.find("layer").value - 1;
    const detections = detectionsOf(this.answer, layer, this.layers);
    const truth = boxOf(this.shape, height, width);
    const seen = queryOf(detections, truth);
    const threshold = Number(this.find("threshold").value) / 100;
    this.paint(detections.filter(({ score }) => score >= threshold), seen, layer);
    this.tell(seen, truth, spent);
  }

  /** The image enlarged, boxes above the threshold, and the points of the query that sees the held shape. */
  paint(shown, seen, layer) {
    const { pen, width, height } = this.sheet();
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.image, 0, 0, width, height);
    pen.font = "15px system-ui, sans-serif";
    for (const { label, score, box } of shown) {
      const [cx, cy, w, h] = box;
      const [left, top] = [(cx - w / 2) * width, (cy - h / 2) * height];
      for (const [colour, thick] of [["#000", 4], ["#fff", 2]]) {
        [pen.strokeStyle, pen.lineWidth] = [colour, thick];
        pen.strokeRect(left, top, w * width, h * height);
      }
      const words = `${this.nameOf(label)} ${score.toFixed(2)}`;
      const line = Math.max(top - 6, 15);
      [pen.strokeStyle, pen.lineWidth, pen.fillStyle] = ["#000", 4, "#fff"];
      pen.strokeText(words, left, line);
      pen.fillText(words, left, line);
    }
    if (this.find("points").checked) this.paintPoints(pen, [width, height], seen.query, layer);
  }

  /** A pen for the view, in pixels of the page, whose canvas has as many as the screen shows there. */
  sheet() {
    const { clientWidth: width, clientHeight: height } = this.view;
    const [wide, high] = [width, height].map((length) => Math.round(length * devicePixelRatio));
    if (this.view.width !== wide || this.view.height !== high) Object.assign(this.view, { width: wide, height: high });
    const pen = this.view.getContext("2d");
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    return { pen, width, height };
  }

  /** Size = weight, colour = head. */
  paintPoints(pen, [width, height], query, layer) {
    const locations = this.answer[`decoder.layers.${layer}.sampling_locations`];
    const weights = this.answer[`decoder.layers.${layer}.attention_weights`];
    const [, heads, levels, points] = weights.shape;
    for (let head = 0, i = query * heads * levels * points; head < heads; head++) {
      for (let sample = 0; sample < levels * points; sample++, i++) {
        pen.beginPath();
        const radius = 2 + 16 * Math.sqrt(weights[i]);
        pen.arc(locations[2 * i] * width, locations[2 * i + 1] * height, radius, 0, 2 * Math.PI);
        pen.fillStyle = `${HEAD_COLOURS[head % HEAD_COLOURS.length]}99`;
        pen.fill();
        [pen.strokeStyle, pen.lineWidth] = ["#fff", 1];
        pen.stroke();
      }
    }
  }

  tell(seen, truth, spent) {
    const { kind, x, y } = this.shape;
    const overlap = iou(seen.box, truth).toFixed(2);
    this.find("status").textContent =
      `The ${kind} at ${x.toFixed(0)}, ${y.toFixed(0)} px is seen by query ${seen.query} as ` +
      `${this.nameOf(seen.label)} ${seen.score.toFixed(2)}, IoU with its true box ${overlap}.`;
    this.find("time").textContent = `One look: ${spent.toFixed(0)} ms.`;
    this.drawn += 1;
    Object.assign(this.root.dataset, { drawn: this.drawn, held: this.held, query: seen.query, iou: overlap });
  }

  nameOf(label) {
    return this.names[label] ?? `class ${label}`;
  }
}

/** Fill the page: `root` as page.py lays it out, `bytes` as `install` in live.js takes it. */
export async function openLaboratory(root, bytes, names, size) {
  const laboratory = new Laboratory(root, names, size);
  try {
    laboratory.start(await install(bytes));
  } catch (error) {
    laboratory.find("status").textContent = error.message;
    root.dataset.failed = "";
  }
  return laboratory;
}
