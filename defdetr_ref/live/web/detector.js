// Deformable DETR (Zhu et al., 2020), from an image to boxes. Read `forward` and `detect` beside the paper's Figure 1.
//
//     image ─ backbone ─ maps ─ pyramid ─ tokens of all levels ─ encoder ─ memory ─┐
//                                                     queries (learned, or         ├─ decoder ─ classes, boxes
//                                                     the best proposals) ─────────┘

import { SmallResNet } from "./backbone.js";
import { Decoder, RefiningDecoder } from "./decoder.js";
import { Encoder } from "./encoder.js";
import { LearnedQueries, LearnedQueriesWithBoxes, TwoStageQueries } from "./proposals.js";
import { FeaturePyramid } from "./pyramid.js";
import { tensor } from "./tensor.js";

// Of ImageNet, for red, green and blue: what the package normalises images with.
const MEAN = [0.485, 0.456, 0.406];
const STD = [0.229, 0.224, 0.225];
const COARSER_LEVEL_STRIDE = 2; // of each level beyond the backbone's

// What a layer returns, by the name under which it is given out.
const MADE_BY_LAYER = {
  reference_points: "references",
  sampling_locations: "locations",
  attention_weights: "weights",
  dense_attention_weights: "denseWeights",
  self_attention_weights: "selfWeights",
  output: "output",
};

/**
 * Colours as a canvas has them → (H, W, 3), normalised.
 * rgb: height · width · 3 numbers (red, green, blue) or height · width · 4 (and alpha, which is not looked at) from 0
 * to 255, row by row. Throws a TypeError or RangeError for another kind or number.
 */
export function normalise(rgb, height, width) {
  if (!(rgb instanceof Uint8ClampedArray || rgb instanceof Uint8Array)) {
    throw new TypeError("forward: the image must be a Uint8ClampedArray of colours from 0 to 255");
  }
  if (![height, width].every((side) => Number.isInteger(side) && side > 0)) {
    throw new RangeError(`forward: height ${height} and width ${width} must be whole numbers of pixels`);
  }
  const pixels = height * width;
  const channels = rgb.length / pixels;
  if (channels !== 3 && channels !== 4) {
    throw new RangeError(
      `forward: an image of ${height}×${width} (height × width) has ${3 * pixels} numbers, or ${4 * pixels} with ` +
        `alpha; got ${rgb.length}`,
    );
  }
  const image = tensor([height, width, 3]);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let i = 0; i < 3; i++) image[3 * pixel + i] = (rgb[channels * pixel + i] / 255 - MEAN[i]) / STD[i];
  }
  return image;
}

/** What every detector of the page begins and ends with; `detect` lies between: tokens → { encoder, queries, decoder }. */
export class Detector {
  constructor(config, parameters, matmul) {
    this.config = config;
    this.arithmetic = matmul.name;
    this.backbone = new SmallResNet(parameters.under("backbone"), matmul, config);
    this.pyramid = new FeaturePyramid(parameters.under("pyramid"), matmul, config, this.backbone.channels);
  }

  /** Of the coarsest level, in pixels of the image. */
  get largestStride() {
    const { feature_strides: strides, num_levels: levels } = this.config;
    return strides.at(-1) * COARSER_LEVEL_STRIDE ** (levels - strides.length);
  }

  /** rgb: see `normalise`. Returns what `asOutputs` names. Throws a RangeError for an image that is too small. */
  forward(rgb, height, width) {
    const image = normalise(rgb, height, width);
    if (Math.min(height, width) < this.largestStride) {
      throw new RangeError(
        `forward: the image is ${height}×${width} (height × width), smaller than the model's largest stride of ` +
          `${this.largestStride} pixels; use a larger image`,
      );
    }
    const maps = this.backbone.forward(image);
    const tokens = this.pyramid.forward(this.config.feature_strides.map((stride) => maps.get(stride)));
    return asOutputs({ image, maps, tokens, ...this.detect(tokens) });
  }
}

/** Deformable DETR in all its variants; which one, the config says. */
export class DeformableDETR extends Detector {
  constructor(config, parameters, matmul) {
    super(config, parameters, matmul);
    this.encoder = new Encoder(parameters.under("encoder"), matmul, config);
    const DecoderOfConfig = config.box_refine ? RefiningDecoder : Decoder;
    this.decoder = new DecoderOfConfig(parameters.under("decoder"), matmul, config);
    let QueriesOfConfig = config.initial_box === "paper" ? LearnedQueriesWithBoxes : LearnedQueries;
    if (config.two_stage) QueriesOfConfig = TwoStageQueries;
    this.queries = new QueriesOfConfig(parameters.under("queries"), matmul, config);
  }

  detect(tokens) {
    const encoder = this.encoder.forward(tokens);
    const memory = encoder.at(-1).output;
    const queries = this.queries.forward(memory, tokens);
    const decoder = this.decoder.forward(queries, memory, tokens.spatialShapes);
    return { encoder, queries, decoder };
  }
}

/**
 * Everything by name: the field's own names for what a DETR returns, and all that was computed on the way, each a flat
 * Float32Array with its `shape`.
 *
 * | name | shape |
 * |---|---|
 * | pred_logits, pred_boxes | (Q, classes), (Q, 4): of the last layer |
 * | aux_outputs.i.pred_logits, .pred_boxes | the same of the layers before, i from 0 |
 * | enc_outputs.pred_logits, .pred_boxes | (S, classes), (S, 4): of the first stage, if there is one |
 * | queries.content, .position, .reference | (Q, C), (Q, C), (Q, 2 or 4) |
 * | queries.chosen | (Q,): the tokens that became queries, if there is a first stage |
 * | image, backbone.stride | (H, W, 3), (H/stride, W/stride, channels) |
 * | pyramid.features, .positions, .centres, .spatial_shapes | (S, C), (S, C), (S, 2), (L, 2) |
 * | encoder.layers.i.reference_points, .sampling_locations | (S, L, 2), (S, M, L, K, 2) |
 * | encoder.layers.i.attention_weights, .output | (S, M, L, K), (S, C) |
 * | decoder.layers.i.… | the same for Q queries, and .self_attention_weights (M, Q, Q) |
 *
 * DETR has no references, and instead of points the weight of every token: .dense_attention_weights, (M, S, S) in the
 * encoder and (M, Q, S) in the decoder.
 */
function asOutputs({ image, maps, tokens, encoder, queries, decoder }) {
  const named = { pred_logits: decoder.at(-1).logits, pred_boxes: decoder.at(-1).boxes };
  decoder.slice(0, -1).forEach(({ logits, boxes }, i) => {
    named[`aux_outputs.${i}.pred_logits`] = logits;
    named[`aux_outputs.${i}.pred_boxes`] = boxes;
  });
  if (queries.proposals !== undefined) {
    named["enc_outputs.pred_logits"] = queries.proposals.logits;
    named["enc_outputs.pred_boxes"] = queries.proposals.boxes;
    named["queries.chosen"] = queries.proposals.chosen;
  }
  for (const part of ["content", "position", "reference"]) {
    if (queries[part] !== undefined) named[`queries.${part}`] = queries[part];
  }
  named.image = image;
  for (const [stride, map] of maps) named[`backbone.${stride}`] = map;
  for (const part of ["features", "positions", "centres"]) named[`pyramid.${part}`] = tokens[part];
  const shapes = tokens.spatialShapes;
  named["pyramid.spatial_shapes"] = tensor([shapes.length, 2], Float32Array.from(shapes.flat()));
  for (const [part, steps] of Object.entries({ encoder, decoder })) {
    steps.forEach((step, i) => {
      for (const [name, made] of Object.entries(MADE_BY_LAYER)) {
        if (step[made] !== undefined) named[`${part}.layers.${i}.${name}`] = step[made];
      }
    });
  }
  return named;
}
