// What is pinned: a pixel of the encoder, or an object query of the decoder, with the points that it reads. Pins are
//     { kind: "held" }                  the query that sees the shape which is held
//     { kind: "box", box }              the query whose box is most like this one; it follows its box
//     { kind: "pixel", level, x, y }    the pixel of a level at a place in [0, 1] of the image

import { isOutside } from "./cuts.js";
import { queryNear, queryOf } from "./detections.js";

/** The pixel of a level (row, column) at a place in [0, 1], and which token it is. */
export function pixelAt(shapes, level, x, y) {
  const [height, width] = shapes[level];
  const inside = (place, length) => Math.min(Math.max(Math.floor(place * length), 0), length - 1);
  const [row, column] = [inside(y, height), inside(x, width)];
  const before = shapes.slice(0, level).reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  return { row, column, token: before + row * width + column, x: (column + 0.5) / width, y: (row + 0.5) / height };
}

/** [[height, width], …] of the levels. */
export function levelShapes(answer) {
  const numbers = answer["pyramid.spatial_shapes"];
  return Array.from({ length: numbers.shape[0] }, (_, level) => [numbers[2 * level], numbers[2 * level + 1]]);
}

/** The level and pixel of a token. */
export function pixelOf(shapes, token) {
  let rest = token;
  for (let level = 0; level < shapes.length; level++) {
    const [height, width] = shapes[level];
    if (rest < height * width) return { level, row: Math.floor(rest / width), column: rest % width };
    rest -= height * width;
  }
  throw new RangeError(`pixelOf: the image has no token ${token}`);
}

/** The pinned query among the detections of a decoder layer; null for a pixel, or if nothing is held. */
export function pinnedObject(pin, detections, truth) {
  if (pin.kind === "box") return queryNear(detections, pin.box);
  if (pin.kind === "held" && truth !== null) return queryOf(detections, truth);
  return null;
}

/**
 * Every point that a query of a layer ("encoder.layers.0") reads: [{ level, x, y, weight }, …]. Dense attention reads
 * all tokens, at their centres, each with the sum of what its heads give it.
 */
export function pointsOf(answer, layer, query) {
  const dense = answer[`${layer}.dense_attention_weights`];
  if (dense !== undefined) return tokensOf(answer, dense, query);
  const locations = answer[`${layer}.sampling_locations`];
  const weights = answer[`${layer}.attention_weights`];
  const [, heads, levels, points] = weights.shape;
  const found = [];
  for (let head = 0, i = query * heads * levels * points; head < heads; head++) {
    for (let level = 0; level < levels; level++) {
      for (let point = 0; point < points; point++, i++) {
        found.push({ level, x: locations[2 * i], y: locations[2 * i + 1], weight: weights[i] });
      }
    }
  }
  return found;
}

function tokensOf(answer, weights, query) {
  const [heads, queries, tokens] = weights.shape;
  const centres = answer["pyramid.centres"];
  const levels = levelShapes(answer).flatMap(([height, width], level) => Array(height * width).fill(level));
  return levels.map((level, token) => {
    let weight = 0;
    for (let head = 0; head < heads; head++) weight += weights[(head * queries + query) * tokens + token];
    return { level, x: centres[2 * token], y: centres[2 * token + 1], weight };
  });
}

/** Of the weight of some points: the share of each level, and the share outside the image; of 1. */
export function sharesOf(points, levels) {
  const sum = (list) => list.reduce((total, { weight }) => total + weight, 0);
  const all = sum(points) || 1; // everything may be cut
  const ofLevel = Array.from({ length: levels }, (_, level) => sum(points.filter((one) => one.level === level)) / all);
  return { ofLevel, outside: sum(points.filter(({ x, y }) => isOutside(x, y))) / all };
}
