// A scene as pixels: shapes on textured ground, drawn as `defdetr_ref/data/shapes.py` draws them, so that a detector
// that learned from those is at home.

import { OUTLINES, PEN_WIDTH, placed } from "./shapes.js";

const NOISE = 0.03; // standard deviation on every value, in [0, 1]
const PATTERN = 0.06; // how far the clouds move each colour
const CLOUD_CELLS = 6; // along each axis

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

/**
 * Paint shapes into a canvas of the image's size, large ones first, on their ground or on a photograph, which brings
 * its own noise; returns the RGBA values.
 */
export function paintScene(canvas, shapes, { ground, noise }, photograph = null) {
  const { height, width } = canvas;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (photograph === null) {
    const behind = pen.createImageData(width, height);
    for (let pixel = 0; pixel < height * width; pixel++) {
      for (let colour = 0; colour < 3; colour++) behind.data[4 * pixel + colour] = ground[3 * pixel + colour] * 255;
      behind.data[4 * pixel + 3] = 255;
    }
    pen.putImageData(behind, 0, 0);
  } else {
    pen.drawImage(photograph, 0, 0);
  }
  for (const shape of [...shapes].sort((a, b) => b.radius - a.radius)) paintShape(pen, shape);
  const painted = pen.getImageData(0, 0, width, height);
  if (photograph !== null) return painted.data;
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let colour = 0; colour < 3; colour++) painted.data[4 * pixel + colour] += noise[3 * pixel + colour] * 255;
  }
  pen.putImageData(painted, 0, 0);
  return painted.data;
}

function paintShape(pen, shape) {
  if (shape.strokes) {
    Object.assign(pen, { strokeStyle: shape.colour, lineWidth: PEN_WIDTH * shape.radius, lineCap: "round" });
    pen.lineJoin = "round";
    for (const line of shape.strokes) {
      tracePath(pen, placed(shape, line));
      pen.stroke();
    }
  } else {
    tracePath(pen, placed(shape, OUTLINES[shape.kind]));
    pen.closePath();
    pen.fillStyle = shape.colour;
    pen.fill();
  }
}

function tracePath(pen, points) {
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x, y);
  if (points.length === 1) pen.lineTo(...points[0]); // a dot is a line, too
}
