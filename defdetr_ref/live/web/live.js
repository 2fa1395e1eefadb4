// What a page offers to scripts from outside: `window.defdetr`.

import { DetrBaseline } from "./dense.js";
import { DeformableDETR } from "./detector.js";
import { chooseMatmul } from "./matmul.js";
import { readWeights } from "./weights.js";

const MODEL_CLASSES = { DeformableDETR, DetrBaseline }; // by the name that a file of weights says

/** A detector from the bytes of a file of weights, and of the kernel (or null). Throws an Error in one sentence. */
export function openDetector(weights, kernel) {
  const { modelClass, config, parameters } = readWeights(weights, Object.keys(MODEL_CLASSES));
  return new MODEL_CLASSES[modelClass](config, parameters, chooseMatmul(kernel));
}

/**
 * Put `window.defdetr` in place:
 *     await window.defdetr.ready                       // the detector; rejected, with one sentence, if there is none
 *     window.defdetr.forward(rgb, height, width)       // → { pred_logits, pred_boxes, … }, see `asOutputs`
 * bytes: a function that returns, or promises, { weights, kernel }, both Uint8Arrays.
 */
export function install(bytes) {
  let detector = null;
  const start = async () => {
    const { weights, kernel } = await bytes();
    detector = openDetector(weights, kernel);
    return detector;
  };
  const forward = (rgb, height, width) => {
    if (detector === null) throw new Error("forward: the detector is not there yet; await window.defdetr.ready first");
    return detector.forward(rgb, height, width);
  };
  window.defdetr = { ready: start(), forward };
  return window.defdetr.ready;
}
