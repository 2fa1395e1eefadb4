// The shapes of a scene, with the outlines of `defdetr_ref/data/shapes.py`, or drawn by hand. Each is
//     { kind, x, y, radius, colour, angle [, strokes] }
// places and sizes in pixels of the image, x to the right, y down; the angle in radians. `strokes` are lines of points
// [dx, dy] around the middle, in radii. Boxes are cxcywh in [0, 1] of the image.

export const SMALLEST_RADIUS = 3; // px
export const PEN_WIDTH = 0.3; // of strokes, in radii
const CIRCLE_CORNERS = 48;
const STAR_INNER_RADIUS = 0.45; // of the outer one
const CROSS_ARM = 0.36; // width of an arm, of the whole
const REACH = 4; // px, how near to a small shape a pointer has to be

/** Kind → corners [dx, dy] around the middle, in radii. */
export const OUTLINES = {
  circle: regular(CIRCLE_CORNERS, [1]),
  square: regular(4, [1]),
  triangle: regular(3, [1]),
  star: regular(10, [1, STAR_INNER_RADIUS]),
  cross: [0, 1, 2, 3].flatMap((quarter) =>
    [[1, CROSS_ARM], [CROSS_ARM, CROSS_ARM], [CROSS_ARM, 1]].map(([x, y]) => turn(x, y, (quarter * Math.PI) / 2)),
  ),
};
const SEVEN = [[[-0.55, -0.8], [0, -0.9], [0.55, -0.85], [0.2, -0.1], [-0.15, 0.9]]];

function regular(corners, radii) {
  return Array.from({ length: corners }, (_, i) => turn(radii[i % radii.length], 0, (2 * Math.PI * i) / corners));
}

export function turn(x, y, angle) {
  return [x * Math.cos(angle) - y * Math.sin(angle), x * Math.sin(angle) + y * Math.cos(angle)];
}

/** Digits have no outline: they are drawn by hand. */
export function isDrawnByHand(kind) {
  return /^\d$/.test(kind);
}

/** What a scene begins with, of the kinds that the detector knows. */
export function firstShapes(kinds, height, width) {
  const side = Math.min(height, width);
  const place = (kind, x, y, radius, colour, angle) => {
    return { kind, x: x * width, y: y * height, radius: radius * side, colour, angle };
  };
  const shapes = [
    place("circle", 0.31, 0.34, 0.13, "#e8423c", 0),
    place("square", 0.72, 0.3, 0.12, "#2f6fe0", 0.4),
    place("triangle", 0.69, 0.75, 0.16, "#f2d43a", 0.2),
    place("cross", 0.27, 0.78, 0.12, "#ee66cc", 0.3),
  ].filter(({ kind }) => kinds.includes(kind));
  if (kinds.includes("7")) shapes.push({ ...place("7", 0.5, 0.5, 0.2, "#f2d43a", 0), strokes: SEVEN });
  return shapes;
}

/** Points [dx, dy] around the middle, in radii, as places in the image. */
export function placed({ x, y, radius, angle }, points) {
  return points.map(([right, down]) => {
    const [dx, dy] = turn(right * radius, down * radius, angle);
    return [x + dx, y + dy];
  });
}

/** The box around a shape, as far as it is in the image: what a detector should answer. */
export function boxOf(shape, height, width) {
  const corners = placed(shape, shape.strokes?.flat() ?? OUTLINES[shape.kind]);
  const pen = shape.strokes ? (PEN_WIDTH * shape.radius) / 2 : 0;
  const [left, right] = reachOf(corners.map(([x]) => x / width), pen / width);
  const [top, bottom] = reachOf(corners.map(([, y]) => y / height), pen / height);
  return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top];
}

function reachOf(numbers, pen) {
  return [Math.max(Math.min(...numbers) - pen, 0), Math.min(Math.max(...numbers) + pen, 1)];
}

/** Intersection over union of two boxes. */
export function iou(a, b) {
  const overlap = (axis) => {
    const low = Math.max(a[axis] - a[axis + 2] / 2, b[axis] - b[axis + 2] / 2);
    return Math.max(0, Math.min(a[axis] + a[axis + 2] / 2, b[axis] + b[axis + 2] / 2) - low);
  };
  const both = overlap(0) * overlap(1);
  return both / (a[2] * a[3] + b[2] * b[3] - both);
}

/** The number of the shape under a place, the one in front first; -1 if there is none. */
export function shapeAt(shapes, x, y) {
  const hits = shapes.map((shape, i) => [Math.hypot(shape.x - x, shape.y - y), shape.radius, i]);
  const under = hits.filter(([distance, radius]) => distance <= Math.max(radius, REACH));
  under.sort(([, a], [, b]) => a - b);
  return under.length ? under[0][2] : -1;
}

/** A shape of strokes, from lines of places in the image. */
export function fromStrokes(kind, lines, colour) {
  const all = lines.flat();
  const middle = (axis) => (Math.min(...all.map((p) => p[axis])) + Math.max(...all.map((p) => p[axis]))) / 2;
  const [x, y] = [middle(0), middle(1)];
  const farthest = Math.max(...all.map(([px, py]) => Math.max(Math.abs(px - x), Math.abs(py - y))));
  const radius = Math.max(farthest, SMALLEST_RADIUS);
  const strokes = lines.map((line) => line.map(([px, py]) => [(px - x) / radius, (py - y) / radius]));
  return { kind, x, y, radius, colour, angle: 0, strokes };
}
