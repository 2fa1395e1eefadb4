// Boxes: how a detector corrects one. All are cxcywh in [0, 1] of the image.

import { tensor } from "./tensor.js";

const INVERSE_SIGMOID_EPS = 1e-5; // published code; keeps the logit within ±11.5

export function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

/** σ⁻¹(x) = log(x / (1 - x)), with both x and 1 - x kept at least 1e-5 (published code). */
export function inverseSigmoid(x) {
  const inside = Math.min(1, Math.max(0, x));
  return Math.log(Math.max(inside, INVERSE_SIGMOID_EPS) / Math.max(1 - inside, INVERSE_SIGMOID_EPS));
}

/**
 * σ(delta + σ⁻¹(reference)): (Q, 4) boxes from references that are points (Q, 2) or boxes (Q, 4). Of a point's size
 * nothing is known, so it is left to `delta` alone.
 */
export function refineBoxes(reference, delta) {
  const [count, known] = reference.shape;
  const boxes = tensor([count, 4]);
  for (let box = 0; box < count; box++) {
    for (let i = 0; i < 4; i++) {
      const start = i < known ? inverseSigmoid(reference[box * known + i]) : 0;
      boxes[box * 4 + i] = sigmoid(delta[box * 4 + i] + start);
    }
  }
  return boxes;
}
