// A scene that can be changed: shapes on textured ground, drawn as `defdetr_ref/data/shapes.py` draws them, so that a
// detector that learned from those is at home. Places and sizes are in pixels of the image, x to the right, y down.

const CIRCLE_CORNERS = 48;
const STAR_INNER_RADIUS = 0.45; // of the outer one
const CROSS_ARM = 0.36; // width of an arm, of the whole
const NOISE = 0.03; // standard deviation on every value, in [0, 1]
const PATTERN = 0.06; // how far the clouds move each colour
const CLOUD_CELLS = 6; // along each axis

/** Kind → corners (x, y) around the middle. */
export const OUTLINES = {
  circle: regular(CIRCLE_CORNERS, [1]),
  square: regular(4, [1]),
  triangle: regular(3, [1]),
  star: regular(10, [1, STAR_INNER_RADIUS]),
  cross: [0, 1, 2, 3].flatMap((quarter) =>
    [[1, CROSS_ARM], [CROSS_ARM, CROSS_ARM], [CROSS_ARM, 1]].map(([x, y]) => turn(x, y, (quarter * Math.PI) / 2)),
  ),
};

function regular(corners, radii) {
  return Array.from({ length: corners }, (_, i) => turn(radii[i % radii.length], 0, (2 * Math.PI * i) / corners));
}

function turn(x, y, angle) {
  return [x * Math.cos(angle) - y * Math.sin(angle), x * Math.sin(angle) + y * Math.cos(angle)];
}

/** Four shapes to begin with. */
export function firstScene(height, width) {
  const side = Math.min(height, width);
  const place = (kind, x, y, radius, colour, angle) => {
    return { kind, x: x * width, y: y * height, radius: radius * side, colour, angle };
  };
  return [
    place("circle", 0.31, 0.34, 0.13, "#e8423c", 0),
    place("square", 0.72, 0.3, 0.12, "#2f6fe0", 0.4),
    place("triangle", 0.69, 0.75, 0.16, "#f2d43a", 0.2),
    place("cross", 0.27, 0.78, 0.12, "#ee66cc", 0.3),
  ];
}

/** The corners of a shape in the image. */
export function cornersOf({ kind, x, y, radius, angle }) {
  return OUTLINES[kind].map(([right, down]) => {
    const [dx, dy] = turn(right * radius, down * radius, angle);
    return [x + dx, y + dy];
  });
}

/** The box around a shape, cxcywh in [0, 1] of the image: what a detector should answer. */
export function boxOf(shape, height, width) {
  const corners = cornersOf(shape);
  const [xs, ys] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  return [(left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height];
}

/** Intersection over union of two cxcywh boxes. */
export function iou(a, b) {
  const overlap = (axis) => {
    const low = Math.max(a[axis] - a[axis + 2] / 2, b[axis] - b[axis + 2] / 2);
    return Math.max(0, Math.min(a[axis] + a[axis + 2] / 2, b[axis] + b[axis + 2] / 2) - low);
  };
  const both = overlap(0) * overlap(1);
  return both / (a[2] * a[3] + b[2] * b[3] - both);
}

/** The shape under a place, the one in front first; -1 if there is none. */
export function shapeAt(shapes, x, y) {
  const hits = shapes.map(({ x: left, y: top, radius }, i) => [Math.hypot(left - x, top - y) / radius, radius, i]);
  const under = hits.filter(([distance]) => distance <= 1).sort((a, b) => a[1] - b[1]);
  return under.length ? under[0][2] : -1;
}

/** Numbers in [0, 1) that are the same every time. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** What lies behind the shapes, and the noise on everything, (height · width · 3) each in [0, 1]; made once. */
export function makeGround(height, width, seed = 1) {
  const random = generator(seed);
  const first = [0.25, 0.36, 0.3];
  const second = [0.42, 0.5, 0.56];
  const cells = Float32Array.from({ length: (CLOUD_CELLS + 1) ** 2 }, () => 2 * random() - 1);
  const ground = new Float32Array(height * width * 3);
  const noise = new Float32Array(height * width * 3);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const along = (x / width + y / height) / 2;
      const pattern = PATTERN * cloud(cells, (x / width) * CLOUD_CELLS, (y / height) * CLOUD_CELLS);
      for (let colour = 0; colour < 3; colour++, i++) {
        ground[i] = first[colour] + along * (second[colour] - first[colour]) + pattern;
        // Box and Muller: two uniform numbers give one of a normal distribution.
        noise[i] = NOISE * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
      }
    }
  }
  return { ground, noise };
}

/** Random values on a coarse grid, smoothly between them. */
function cloud(cells, x, y) {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, down] = [x - left, y - top].map((share) => share * share * (3 - 2 * share));
  const at = (column, row) => cells[(top + row) * (CLOUD_CELLS + 1) + left + column];
  return (at(0, 0) * (1 - right) + at(1, 0) * right) * (1 - down) + (at(0, 1) * (1 - right) + at(1, 1) * right) * down;
}

/** Paint shapes on their ground into a canvas of the image's size, large ones first; returns its RGBA values. */
export function paintScene(canvas, shapes, { ground, noise }) {
  const { height, width } = canvas;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const behind = pen.createImageData(width, height);
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let colour = 0; colour < 3; colour++) behind.data[4 * pixel + colour] = ground[3 * pixel + colour] * 255;
    behind.data[4 * pixel + 3] = 255;
  }
  pen.putImageData(behind, 0, 0);
  for (const shape of shapes.toSorted((a, b) => b.radius - a.radius)) {
    pen.beginPath();
    for (const [x, y] of cornersOf(shape)) pen.lineTo(x, y);
    pen.closePath();
    pen.fillStyle = shape.colour;
    pen.fill();
  }
  const painted = pen.getImageData(0, 0, width, height);
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let colour = 0; colour < 3; colour++) painted.data[4 * pixel + colour] += noise[3 * pixel + colour] * 255;
  }
  pen.putImageData(painted, 0, 0);
  return painted.data;
}
