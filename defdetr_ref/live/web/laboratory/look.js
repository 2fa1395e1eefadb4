// One look at a scene: what the detector answers, and of it what is held, pinned and compared.

import { averagePrecision } from "./average_precision.js";
import { detectionsOf, rankedPairs } from "./detections.js";
import { levelShapes, pinnedObject, pixelAt, pointsOf } from "./pins.js";
import { stepsOf } from "./query.js";
import { boxOf } from "./shapes.js";

export const UNCUT = "uncut"; // what is laid beside it: the same model, from which nothing is cut

/**
 * pixels: the scene's RGBA values; labelOf: kind → label. Returns
 *     { answer, detector, spent (ms), layer (counted from 0), detections (of that layer), truths, truth (of the held
 *       shape, or null), ap, apUncut (null if nothing is cut), beside (null, or { answer, detections, ap, words }),
 *       pinned (a detection, or null), pixel (null, or where it is), points (of what is pinned, or null), steps }
 * Throws an Error, in one sentence, if a model cannot be opened or cannot look at an image of this size.
 */
export function lookAt(models, state, pixels, size, labelOf) {
  const [height, width] = size;
  const truths = state.shapes.map((shape) => ({ label: labelOf(shape.kind), box: boxOf(shape, height, width) }));
  const detector = models.get(state.model);
  const start = performance.now();
  const answer = models.look(state.model, state.cuts, pixels, size);
  const spent = performance.now() - start;
  const uncut = state.cuts.length ? models.look(state.model, [], pixels, size) : answer;
  const layers = detector.config.decoder_layers;
  const layer = Math.min(state.layer, layers) - 1;
  const detections = detectionsOf(answer, layer, layers);
  const truth = truths[state.held]?.box ?? null;
  const apOf = (one) => averagePrecision(rankedPairs(one), truths);
  const look = { answer, detector, spent, layer, detections, truths, truth, ap: apOf(answer) };
  look.apUncut = state.cuts.length ? apOf(uncut) : null;
  look.pinned = pinnedObject(state.pin, detections, truth);
  Object.assign(look, readBy(state, look));
  if (look.pinned !== null) look.steps = stepsOf(answer, look.pinned.query, layers);
  look.beside = state.beside ? besideOf(models, state, pixels, size, uncut, apOf) : null;
  return look;
}

/** The pixel that is pinned, and the points of the pixel or the object. */
function readBy({ pin, encoder }, { answer, detector, layer, pinned }) {
  if (pin.kind === "pixel") {
    const shapes = levelShapes(answer);
    const level = Math.min(pin.level, shapes.length - 1);
    const depth = Math.min(encoder, detector.config.encoder_layers);
    const pixel = { level, layer: depth, ...pixelAt(shapes, level, pin.x, pin.y) };
    return { pixel, points: pointsOf(answer, `encoder.layers.${depth - 1}`, pixel.token) };
  }
  const points = pinned && pointsOf(answer, `decoder.layers.${layer}`, pinned.query);
  return { pixel: null, points };
}

function besideOf(models, { model, beside, layer: wanted }, pixels, size, uncut, apOf) {
  const isUncut = beside === UNCUT;
  const answer = isUncut ? uncut : models.look(beside, [], pixels, size);
  const layers = models.get(isUncut ? model : beside).config.decoder_layers;
  const detections = detectionsOf(answer, Math.min(wanted, layers) - 1, layers);
  return { answer, detections, ap: apOf(answer), words: isUncut ? "The same model, uncut" : models.wordsOf(beside) };
}
