// The large pictures: the scene with the boxes that were found, and with the points of what is pinned.

import { paintBox, paintLabels, paintPlace, paintPoints, sheet } from "./painting.js";

const FOUND = { colour: "#fff" };
const PINNED = { colour: "#ffec6e", width: 3 };
const TRUTH_OF_HELD = { colour: "#9be7ff", dashed: true };
const POINT_SHARE = 1 / 22; // radius of a point that has all the weight, of the picture
const HANDLE = 5; // px

/**
 * image: a canvas; detections: those that are shown; nameOf: label → word; between: (pen, frame) => paints what lies
 * over the boxes, and under the words.
 */
export function paintDetections(canvas, image, detections, nameOf, { pinned = null, between = () => {} } = {}) {
  const { pen, width, height } = sheet(canvas);
  const frame = { left: 0, top: 0, width, height };
  pen.drawImage(image, 0, 0, width, height);
  for (const detection of detections) {
    paintBox(pen, frame, detection.box, detection.query === pinned?.query ? PINNED : FOUND);
  }
  between(pen, frame);
  const surest = [...detections].sort((a, b) => b.score - a.score);
  paintLabels(pen, frame, surest.map(({ label, score, box }) => ({ box, words: `${nameOf(label)} ${score.toFixed(2)}` })));
}

/** The scene as the reader works on it: detections, the true box of the held shape, points, and the handles. */
export function paintView(canvas, image, { look, shown, nameOf, editor, withPoints }) {
  const between = (pen, frame) => {
    if (look?.truth) paintBox(pen, frame, look.truth, TRUTH_OF_HELD);
    if (look?.pinned && !shown.includes(look.pinned)) paintBox(pen, frame, look.pinned.box, { ...PINNED, dashed: true });
    if (withPoints && look?.points) {
      const largest = Math.max(...look.points.map(({ weight }) => weight));
      const size = [frame.width, frame.height];
      paintPoints(pen, frame, look.points, { size, largest, scale: frame.width * POINT_SHARE });
    }
    if (look?.pixel) paintPlace(pen, look.pixel.x * frame.width, look.pixel.y * frame.height);
    if (editor.shape !== null && editor.state.pointer === "move") paintHandles(pen, frame, editor, image);
  };
  paintDetections(canvas, image, shown, nameOf, { pinned: look?.pinned, between });
}

/** A square that changes the size, a disc that turns. */
function paintHandles(pen, frame, editor, image) {
  const { size, turn } = editor.handles();
  const scale = frame.width / image.width;
  [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = ["#9be7ff", "#000", 2];
  pen.beginPath();
  pen.rect(size[0] * scale - HANDLE, size[1] * scale - HANDLE, 2 * HANDLE, 2 * HANDLE);
  pen.moveTo(turn[0] * scale + HANDLE, turn[1] * scale);
  pen.arc(turn[0] * scale, turn[1] * scale, HANDLE, 0, 2 * Math.PI);
  pen.fill();
  pen.stroke();
}
