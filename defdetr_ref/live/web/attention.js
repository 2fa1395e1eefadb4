// Deformable attention: each query says by itself where to look and how much to take from there.
//
//     MSDeformAttn(z_q, p̂_q, {x^l}) = Σ_m W_m [ Σ_l Σ_k A_mlqk · W'_m x^l( φ_l(p̂_q) + Δp_mlqk ) ]          (Eq. 3)

import { Linear } from "./layers.js";
import { msDeformAttn } from "./sampling.js";
import { softmax, tensor } from "./tensor.js";

/**
 * φ_l(p̂_q) + Δp, (Q, M, L, K, 2): where every head reads, in [0, 1] of each level. From a reference point (Q, L, 2)
 * offsets are counted in pixels of the level, from a reference box (Q, L, 4) in half boxes divided by K.
 */
export function samplingLocations(references, offsets, spatialShapes) {
  const [queries, heads, levels, points] = offsets.shape;
  const size = references.shape[2];
  const locations = tensor(offsets.shape);
  let i = 0;
  for (let query = 0; query < queries; query++) {
    for (let head = 0; head < heads; head++) {
      for (let level = 0; level < levels; level++) {
        const [height, width] = spatialShapes[level];
        const start = (query * levels + level) * size;
        const [x, y, boxWidth, boxHeight] = references.subarray(start, start + size);
        const stepX = size === 2 ? 1 / width : boxWidth / 2 / points;
        const stepY = size === 2 ? 1 / height : boxHeight / 2 / points;
        for (let point = 0; point < points; point++, i += 2) {
          locations[i] = x + offsets[i] * stepX;
          locations[i + 1] = y + offsets[i + 1] * stepY;
        }
      }
    }
  }
  return locations;
}

/** Eq. 3: every query reads K points for each of M heads on each of L levels. */
export class MultiScaleDeformableAttention {
  constructor(parameters, matmul, config) {
    const { d_model: channels, num_heads: heads, num_levels: levels, num_points: points } = config;
    this.axes = [heads, levels, points];
    const samples = heads * levels * points;
    this.samplingOffsets = new Linear(parameters.under("sampling_offsets"), matmul, channels, 2 * samples);
    this.attentionWeights = new Linear(parameters.under("attention_weights"), matmul, channels, samples);
    this.valueProj = new Linear(parameters.under("value_proj"), matmul, channels, channels);
    this.outputProj = new Linear(parameters.under("output_proj"), matmul, channels, channels);
    this.edit = (weights) => weights; // the laboratory puts something else here, see laboratory/cuts.js
  }

  /**
   * query (Q, C), with its position added; references (Q, L, 2 or 4); features (S, C), all levels one after another.
   * Returns { output (Q, C), locations (Q, M, L, K, 2), weights (Q, M, L, K) }.
   */
  forward(query, references, features, spatialShapes) {
    const value = this.valueProj.forward(features);
    const locations = samplingLocations(references, this.offsetsOf(query), spatialShapes);
    const weights = this.edit(this.weightsOf(query), locations);
    const read = msDeformAttn(value, spatialShapes, locations, weights);
    return { output: this.outputProj.forward(read), locations, weights };
  }

  /** Δp_mlqk, a linear function of the query. */
  offsetsOf(query) {
    return tensor([query.shape[0], ...this.axes, 2], this.samplingOffsets.forward(query));
  }

  /** A_mlqk: one softmax over all levels and points of a head, jointly. */
  weightsOf(query) {
    const weights = tensor([query.shape[0], ...this.axes], this.attentionWeights.forward(query));
    const [, levels, points] = this.axes;
    const samples = levels * points;
    for (let start = 0; start < weights.length; start += samples) softmax(weights, start, samples);
    return weights;
  }
}
