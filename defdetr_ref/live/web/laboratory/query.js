// One query on its way: from its proposal through every layer to the final box, side by side, each with its IoU.

import { sigmoid } from "../boxes.js";
import { detectionsOf } from "./detections.js";
import { paintBox, sheet } from "./painting.js";
import { levelShapes, pixelOf } from "./pins.js";
import { iou } from "./shapes.js";

const ROOM = 1.3; // how much more than the boxes is shown
const LEAST = 0.15; // of the image, is always shown
const BOX = { colour: "#ffec6e" };
const TRUTH = { colour: "#fff", dashed: true };

/** [{ title, box, label, score }, …]: where the query began, and what each layer made of it; label null: any object. */
export function stepsOf(answer, query, layers) {
  const steps = Array.from({ length: layers }, (_, layer) => {
    return { title: `Layer ${layer + 1}`, ...detectionsOf(answer, layer, layers)[query] };
  });
  const chosen = answer["queries.chosen"];
  if (chosen !== undefined) return [proposalOf(answer, chosen[query]), ...steps];
  const reference = answer["queries.reference"];
  if (reference === undefined) return steps; // DETR
  const size = reference.shape[1];
  const place = Array.from(reference.subarray(query * size, (query + 1) * size));
  return [{ title: "Reference, learned", box: size === 4 ? place : [...place, 0, 0] }, ...steps];
}

/** What the first stage made of a token. Only channel 0 of its logits counts, for any kind of object. */
function proposalOf(answer, token) {
  const [logits, boxes] = [answer["enc_outputs.pred_logits"], answer["enc_outputs.pred_boxes"]];
  const { level, row, column } = pixelOf(levelShapes(answer), token);
  const title = `Proposal of level ${level}, row ${row}, column ${column}`;
  const box = Array.from(boxes.subarray(4 * token, 4 * token + 4));
  return { title, box, label: null, score: sigmoid(logits[token * logits.shape[1]]) };
}

export class QuerySteps {
  constructor(place, nameOf) {
    this.place = place;
    this.nameOf = nameOf;
    this.figures = [];
  }

  build(count) {
    this.figures = Array.from({ length: count }, () => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      const caption = document.createElement("figcaption");
      figure.append(canvas, caption);
      return { figure, canvas, caption };
    });
    this.place.replaceChildren(...this.figures.map(({ figure }) => figure));
  }

  /** truth: the true box, or null where there is none; image: a canvas. */
  show(steps, truth, image) {
    if (this.figures.length !== steps.length) this.build(steps.length);
    const view = viewOf([...steps.map(({ box }) => box), ...(truth ? [truth] : [])], image);
    steps.forEach(({ title, box, label, score }, i) => {
      const { canvas, caption } = this.figures[i];
      const { pen, width, height } = sheet(canvas);
      const scale = Math.min(width, height) / view.side; // px of the page for each of the image
      const frame = { left: width / 2 - view.x * scale, top: height / 2 - view.y * scale };
      Object.assign(frame, { width: image.width * scale, height: image.height * scale });
      pen.drawImage(image, frame.left, frame.top, frame.width, frame.height);
      if (truth) paintBox(pen, frame, truth, TRUTH);
      paintBox(pen, frame, box, BOX);
      const words = [title];
      if (score !== undefined) words.push(`${label === null ? "object" : this.nameOf(label)} ${score.toFixed(2)}`);
      if (truth) words.push(`IoU ${iou(box, truth).toFixed(2)}`);
      caption.replaceChildren(...words.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
      canvas.setAttribute("aria-label", words.join(", "));
    });
  }
}

/** The middle and the side, in pixels of the image, of a square that shows all boxes. */
function viewOf(boxes, { height, width }) {
  const ends = (axis, length) => {
    const low = Math.min(...boxes.map((box) => box[axis] - box[axis + 2] / 2));
    const high = Math.max(...boxes.map((box) => box[axis] + box[axis + 2] / 2));
    return [((low + high) / 2) * length, (high - low) * length];
  };
  const [[x, wide], [y, high]] = [ends(0, width), ends(1, height)];
  return { x, y, side: ROOM * Math.max(wide, high, LEAST * Math.min(height, width)) };
}
