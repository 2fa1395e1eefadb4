// What a reader cuts out of a detector, by name: "e0" or "d2" is a layer of encoder or decoder, counted from 0, "e0h3"
// one of its heads, "e0l1" one of its levels, and OUTSIDE all points outside the image, which dense attention lacks.

import { DenseAttention } from "../layers.js";

export const OUTSIDE = "outside";

/** The letter, the layers and the attention of each part that can be cut. */
export function partsOf(detector) {
  return [
    { letter: "e", part: "encoder", layers: detector.encoder.layers, attentionOf: (layer) => layer.attention },
    { letter: "d", part: "decoder", layers: detector.decoder.layers, attentionOf: (layer) => layer.crossAttention },
  ];
}

/** All names that a detector can be cut by: one of this config, with dense attention or without. */
export function cutNames({ encoder_layers, decoder_layers, num_heads, num_levels }, isDense) {
  const names = isDense ? [] : [OUTSIDE];
  for (const [letter, layers] of [["e", encoder_layers], ["d", decoder_layers]]) {
    for (let layer = 0; layer < layers; layer++) {
      names.push(`${letter}${layer}`);
      for (let head = 0; head < num_heads; head++) names.push(`${letter}${layer}h${head}`);
      for (let level = 0; level < num_levels; level++) names.push(`${letter}${layer}l${level}`);
    }
  }
  return names;
}

/** From now on the detector works without `cuts`, and with all that was cut before. */
export function applyCuts(detector, cuts) {
  for (const { letter, layers, attentionOf } of partsOf(detector)) {
    layers.forEach((layer, i) => {
      const name = `${letter}${i}`;
      layer.isCut = cuts.includes(name);
      const attention = attentionOf(layer);
      const cutAttention = attention instanceof DenseAttention ? cutDenseWeights : cutWeights;
      attention.edit = (weights, places) => cutAttention(weights, places, {
        isCutHead: (head) => cuts.includes(`${name}h${head}`),
        isCutLevel: (level) => cuts.includes(`${name}l${level}`),
        isCutOutside: cuts.includes(OUTSIDE),
      });
    });
  }
}

/**
 * Attention weights (Q, M, L, K), changed in place and returned. A head or a level that is cut reads nothing, and its
 * weight is lost. What lay on points outside the image, which read zeros, goes to the same head's points inside, as if
 * softmax had been taken over those alone.
 */
function cutWeights(weights, locations, { isCutHead, isCutLevel, isCutOutside }) {
  const [queries, heads, levels, points] = weights.shape;
  const cutHeads = Array.from({ length: heads }, (_, head) => isCutHead(head));
  const cutLevels = Array.from({ length: levels }, (_, level) => isCutLevel(level));
  if (!(isCutOutside || cutHeads.includes(true) || cutLevels.includes(true))) return weights;
  const samples = levels * points;
  for (let row = 0; row < queries * heads; row++) {
    const first = row * samples;
    if (isCutOutside) keepInside(weights, locations, first, samples);
    for (let i = 0; i < samples; i++) {
      if (cutHeads[row % heads] || cutLevels[Math.floor(i / points)]) weights[first + i] = 0;
    }
  }
  return weights;
}

/** The same of dense attention, (M, Q, S), whose tokens all lie inside; spatialShapes: [[height, width], …]. */
function cutDenseWeights(weights, spatialShapes, { isCutHead, isCutLevel }) {
  const [heads, queries, tokens] = weights.shape;
  const levelOf = spatialShapes.flatMap(([height, width], level) => Array(height * width).fill(level));
  const isKept = levelOf.map((level) => !isCutLevel(level));
  for (let head = 0, i = 0; head < heads; head++) {
    const isCut = isCutHead(head);
    for (const end = (head + 1) * queries * tokens; i < end; i++) {
      if (isCut || !isKept[i % tokens]) weights[i] = 0;
    }
  }
  return weights;
}

function keepInside(weights, locations, first, samples) {
  let inside = 0;
  for (let i = first; i < first + samples; i++) {
    if (isOutside(locations[2 * i], locations[2 * i + 1])) weights[i] = 0;
    inside += weights[i];
  }
  if (inside > 0) for (let i = first; i < first + samples; i++) weights[i] /= inside;
}

export function isOutside(x, y) {
  return !(x >= 0 && x <= 1 && y >= 0 && y <= 1);
}
