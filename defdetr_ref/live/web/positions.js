// Where things are: sine embeddings, the centres of tokens, and the boxes that the first stage starts from. Points are
// (x, y); sizes are (height, width). There is one image and so no padding: all of each level is image.

import { tensor } from "./tensor.js";

const TEMPERATURE = 10_000; // published code, after "Attention is all you need"
const POSITION_EPS = 1e-6; // published code
const SMALLEST_PROPOSAL = 0.05; // paper, appendix A.4: side on the finest level, as a share of the image
// Published code only: proposals closer than this to an edge are not used. In float32, as the centres are.
const PROPOSAL_LOW = Math.fround(0.01);
const PROPOSAL_HIGH = Math.fround(0.99);

/** `dim` features sin(angle / T^(2i/dim)), cos(angle / T^(2i/dim)), interleaved, written into `out` from `start`. */
export function sineEmbedding(angle, dim, out, start) {
  for (let i = 0; i < dim; i += 2) {
    const phase = angle / TEMPERATURE ** (i / dim);
    out[start + i] = Math.sin(phase);
    out[start + i + 1] = Math.cos(phase);
  }
}

/** Every pixel's place, (height·width, dim): the first half tells y, the second x, both scaled to (0, 2π). */
export function embedPositions(height, width, dim) {
  const half = dim / 2;
  const along = (length) => {
    const places = new Float32Array(length * half);
    for (let i = 0; i < length; i++) {
      sineEmbedding(((i + 0.5) / (length + POSITION_EPS)) * 2 * Math.PI, half, places, i * half);
    }
    return places;
  };
  const ys = along(height);
  const xs = along(width);
  const embedded = tensor([height * width, dim]);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const start = (y * width + x) * dim;
      embedded.set(ys.subarray(y * half, (y + 1) * half), start);
      embedded.set(xs.subarray(x * half, (x + 1) * half), start + half);
    }
  }
  return embedded;
}

/** Sine embedding of boxes (Q, 4), `dim` features for each of the four numbers: (Q, 4·dim). */
export function embedBoxes(boxes, dim) {
  const embedded = tensor([boxes.shape[0], 4 * dim]);
  boxes.forEach((value, i) => sineEmbedding(value * 2 * Math.PI, dim, embedded, i * dim));
  return embedded;
}

/** The centre (x, y) of every token's pixel in [0, 1] of the image, (S, 2). spatialShapes: [[height, width], …]. */
export function tokenCentres(spatialShapes) {
  const centres = [];
  for (const [height, width] of spatialShapes) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) centres.push((x + 0.5) / width, (y + 0.5) / height);
    }
  }
  return tensor([centres.length / 2, 2], Float32Array.from(centres));
}

/** The same points (N, 2) or boxes (N, 4) on each of `levels` levels: (N, L, 2 or 4). */
export function onEveryLevel(places, levels) {
  const [count, size] = places.shape;
  const spread = tensor([count, levels, size]);
  for (let i = 0; i < count; i++) {
    for (let level = 0; level < levels; level++) {
      spread.set(places.subarray(i * size, (i + 1) * size), (i * levels + level) * size);
    }
  }
  return spread;
}

/**
 * A box around every token, for the first stage to correct: width = height = 0.05 · 2^level of the image. Returns
 * { boxes (S, 4), usable }: of each token, whether all four numbers lie within (0.01, 0.99).
 */
export function proposalBoxes(centres, spatialShapes) {
  const count = centres.shape[0];
  const boxes = tensor([count, 4]);
  let token = 0;
  spatialShapes.forEach(([height, width], level) => {
    const side = SMALLEST_PROPOSAL * 2 ** level;
    for (const end = token + height * width; token < end; token++) {
      boxes.set([centres[2 * token], centres[2 * token + 1], side, side], 4 * token);
    }
  });
  const usable = Array.from({ length: count }, (_, i) =>
    boxes.subarray(4 * i, 4 * i + 4).every((value) => value > PROPOSAL_LOW && value < PROPOSAL_HIGH),
  );
  return { boxes, usable };
}
