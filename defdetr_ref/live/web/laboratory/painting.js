// How pictures are painted: an image enlarged, boxes over it, points over those.

import { isOutside } from "./cuts.js";

const RAMP = [[58, 28, 107], [190, 55, 120], [245, 125, 50], [255, 236, 110]]; // from no weight to the largest
const DASH = [5, 4];
const LABEL_SIZE = 14; // px

/** A pen for a canvas, in pixels of the page; the canvas gets as many of its own as the screen shows there. */
export function sheet(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const [wide, high] = [width, height].map((length) => Math.round(length * devicePixelRatio));
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const pen = canvas.getContext("2d");
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.imageSmoothingEnabled = false; // a pixel of the image stays a square
  return { pen, width, height };
}

/**
 * A view of the image: `frame` { left, top, width, height } is where the whole image lies on the page, parts of which
 * may be outside the canvas.
 */
export function paintBox(pen, frame, [cx, cy, w, h], { colour, width = 2, dashed = false }) {
  const place = [frame.left + (cx - w / 2) * frame.width, frame.top + (cy - h / 2) * frame.height];
  pen.setLineDash(dashed ? DASH : []);
  for (const [ink, thick] of [["#000", width + 2], [colour, width]]) {
    [pen.strokeStyle, pen.lineWidth] = [ink, thick];
    pen.strokeRect(...place, w * frame.width, h * frame.height);
  }
  pen.setLineDash([]);
}

/** labels: [{ box, words }, …], the most important first: the words at their boxes, none over another's. */
export function paintLabels(pen, frame, labels) {
  pen.font = `600 ${LABEL_SIZE}px system-ui, sans-serif`;
  const widths = labels.map(({ words }) => pen.measureText(words).width);
  const places = labelPlaces(frame, labels.map(({ box }, i) => ({ box, width: widths[i] })));
  [pen.strokeStyle, pen.lineWidth, pen.fillStyle, pen.lineJoin] = ["#000", 4, "#fff", "round"];
  labels.forEach(({ words }, i) => {
    const { left, line } = places[i];
    pen.strokeText(words, frame.left + left, frame.top + line);
    pen.fillText(words, frame.left + left, frame.top + line);
  });
}

/**
 * [{ left, line }, …] of the words of each box, inside the picture: above its upper left corner, or where they would
 * lie over others below it, or inside it at the top or the bottom. In a crowd with no free place they lie above.
 */
export function labelPlaces(frame, labels) {
  const taken = [];
  return labels.map(({ box: [cx, cy, w, h], width }) => {
    const left = Math.max(Math.min((cx - w / 2) * frame.width, frame.width - width - 4), 2);
    const [top, bottom] = [(cy - h / 2) * frame.height, (cy + h / 2) * frame.height];
    const lines = [top - 6, bottom + 18, top + 18, bottom - 6].filter(
      (line) => line > LABEL_SIZE && line < frame.height - 3,
    );
    const isFree = (line) => taken.every((other) => {
      const beside = left > other.left + other.width || other.left > left + width;
      return beside || Math.abs(line - other.line) >= LABEL_SIZE;
    });
    const place = { left, width, line: lines.find(isFree) ?? lines[0] ?? frame.height - 4 };
    taken.push(place);
    return place;
  });
}

/**
 * Size and colour = weight. Points outside the image are hollow, and those outside the canvas lie on its edge.
 * largest: the weight of the lightest colour.
 */
export function paintPoints(pen, frame, points, { size, largest, scale }) {
  const [right, bottom] = size;
  for (const { x, y, weight } of [...points].sort((a, b) => a.weight - b.weight)) {
    if (weight === 0) continue; // it is cut
    const radius = scale * (0.12 + Math.sqrt(weight));
    const inside = (place, end) => Math.min(Math.max(place, 3), end - 3);
    pen.beginPath();
    pen.arc(inside(frame.left + x * frame.width, right), inside(frame.top + y * frame.height, bottom), radius, 0, 7);
    pen.lineWidth = 1;
    if (isOutside(x, y)) {
      [pen.strokeStyle, pen.lineWidth] = [rampColour(weight / largest), 2];
    } else {
      [pen.fillStyle, pen.strokeStyle] = [rampColour(weight / largest, 0.85), "#fff"];
      pen.fill();
    }
    pen.stroke();
  }
}

/** A colour of the ramp; share in [0, 1]. */
export function rampColour(share, opacity = 1) {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(place), RAMP.length - 2);
  const mixed = RAMP[low].map((value, i) => Math.round(value + (place - low) * (RAMP[low + 1][i] - value)));
  return `rgb(${mixed.join(" ")} / ${opacity})`;
}

/** A cross where a query stands. */
export function paintPlace(pen, x, y) {
  for (const [colour, thick] of [["#000", 5], ["#fff", 2]]) {
    [pen.strokeStyle, pen.lineWidth] = [colour, thick];
    pen.beginPath();
    pen.moveTo(x - 7, y);
    pen.lineTo(x + 7, y);
    pen.moveTo(x, y - 7);
    pen.lineTo(x, y + 7);
    pen.stroke();
  }
}
