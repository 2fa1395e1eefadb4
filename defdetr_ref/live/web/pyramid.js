// Many scales without an FPN: feature maps → projected, flattened tokens of all levels (Sec. 4.1, Fig. 4).

import { Convolution } from "./backbone.js";
import { GroupNorm } from "./layers.js";
import { embedPositions, tokenCentres } from "./positions.js";
import { concatenate, tensor } from "./tensor.js";

/** Convolution to the model's width, then group norm. */
class Projection {
  constructor(parameters, matmul, [inChannels, outChannels, size], stride) {
    const weight = parameters.under("0").get("weight", [outChannels, inChannels, size, size]);
    this.conv = new Convolution(matmul, weight, parameters.under("0").get("bias", [outChannels]), stride);
    this.norm = new GroupNorm(parameters.under("1"), outChannels);
  }

  forward(map) {
    const projected = this.conv.forward(map);
    const [height, width, channels] = projected.shape;
    const normed = this.norm.forward(tensor([height * width, channels], projected));
    return tensor([height, width, channels], normed);
  }
}

/** Projects the backbone's maps, adds coarser levels up to `num_levels`, and flattens all of them. */
export class FeaturePyramid {
  constructor(parameters, matmul, config, backboneChannels) {
    const channels = config.d_model;
    const projection = (level) => parameters.under(`projections.${level}`);
    this.projections = backboneChannels.map(
      (inChannels, level) => new Projection(projection(level), matmul, [inChannels, channels, 1], 1),
    );
    this.coarser = [];
    let inChannels = backboneChannels.at(-1); // the first extra level reads the last map itself, not its projection
    for (let level = backboneChannels.length; level < config.num_levels; level++) {
      this.coarser.push(new Projection(projection(level), matmul, [inChannels, channels, 3], 2));
      inChannels = channels;
    }
    this.levelEmbed = parameters.get("level_embed", [config.num_levels, channels]);
  }

  /** The backbone's maps, finest first → L maps (H_l, W_l, C). */
  project(maps) {
    const levels = this.projections.map((projection, i) => projection.forward(maps[i]));
    let coarsest = maps.at(-1);
    for (const projection of this.coarser) {
      coarsest = projection.forward(coarsest);
      levels.push(coarsest);
    }
    return levels;
  }

  /** What encoder and decoder need to know: { features (S, C), positions (S, C), centres (S, 2), spatialShapes }. */
  forward(maps) {
    const levels = this.project(maps);
    const spatialShapes = levels.map((level) => level.shape.slice(0, 2));
    const flat = levels.map((level) => tensor([level.shape[0] * level.shape[1], level.shape[2]], level));
    return {
      features: concatenate(flat),
      positions: concatenate(spatialShapes.map((shape, level) => this.positionsOf(shape, level))),
      centres: tokenCentres(spatialShapes),
      spatialShapes,
    };
  }

  /** Sine embedding + level embedding. */
  positionsOf([height, width], level) {
    const channels = this.levelEmbed.shape[1];
    const places = embedPositions(height, width, channels);
    for (let i = 0; i < places.length; i++) places[i] += this.levelEmbed[level * channels + (i % channels)];
    return places;
  }
}
