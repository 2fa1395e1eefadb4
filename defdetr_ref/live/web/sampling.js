// The operator, multi-scale deformable attention as loops: the same that `defdetr_ref/ops/loops.py` specifies.
//
//     output[query, head] = Σ_level Σ_point  weight · value(level, location)          (the sums of Eq. 3)
//
// A location is turned into pixels by `x · width - 0.5`, so that 0 and 1 are the outer edges of the map and pixel i has
// its centre at i. The value there is bilinear: the four pixels around it, weighted by the area of the opposite
// rectangle. Pixels outside the map count as zero, and a location that is not finite reads nothing.

import { tensor } from "./tensor.js";

/**
 * value (S, C), of which each head has C/M columns; locations (Q, M, L, K, 2), x then y, in [0, 1] of the level;
 * weights (Q, M, L, K). Returns (Q, C).
 */
export function msDeformAttn(value, spatialShapes, locations, weights) {
  const [queries, heads, levels, points] = weights.shape;
  const channels = value.shape[1];
  const dim = channels / heads;
  const output = tensor([queries, channels]);
  const sum = new Float64Array(dim);
  let sample = 0; // counts through (query, head, level, point)
  for (let query = 0; query < queries; query++) {
    for (let head = 0; head < heads; head++) {
      sum.fill(0);
      let levelStart = 0;
      for (let level = 0; level < levels; level++) {
        const [height, width] = spatialShapes[level];
        for (let point = 0; point < points; point++, sample++) {
          const x = locations[2 * sample] * width - 0.5;
          const y = locations[2 * sample + 1] * height - 0.5;
          if (!(x > -1 && x < width && y > -1 && y < height)) continue; // all four are outside; also for NaN
          const left = Math.floor(x);
          const top = Math.floor(y);
          for (let row = top; row <= top + 1; row++) {
            if (row < 0 || row >= height) continue;
            for (let column = left; column <= left + 1; column++) {
              if (column < 0 || column >= width) continue;
              const share = (1 - Math.abs(x - column)) * (1 - Math.abs(y - row)) * weights[sample];
              const from = (levelStart + row * width + column) * channels + head * dim;
              for (let i = 0; i < dim; i++) sum[i] += share * value[from + i];
            }
          }
        }
        levelStart += height * width;
      }
      output.set(sum, query * channels + head * dim);
    }
  }
  return output;
}
