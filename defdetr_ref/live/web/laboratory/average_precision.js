// AP of one scene, counted as COCO does and `defdetr_ref/evaluation.py` with it: the mean over IoU 0.50, 0.55 … 0.95
// and over the classes that are there.

import { iou } from "./shapes.js";

const IOU_STEPS = Array.from({ length: 10 }, (_, i) => 0.5 + 0.05 * i);
const RECALL_STEPS = Array.from({ length: 101 }, (_, i) => i / 100);

/** found: [{ label, score, box }], best first; wanted: [{ label, box }]. NaN for a scene without objects. */
export function averagePrecision(found, wanted) {
  const labels = [...new Set(wanted.map(({ label }) => label))];
  const ofClass = labels.map((label) => {
    const [guesses, objects] = [found, wanted].map((list) => list.filter((each) => each.label === label));
    return mean(IOU_STEPS.map((least) => underPrecision(matched(guesses, objects, least), objects.length)));
  });
  return mean(ofClass);
}

/** Of each detection, whether it found an object that none before it had found. */
function matched(found, wanted, least) {
  const free = new Set(wanted);
  return found.map(({ box }) => {
    const candidates = [...free].filter((object) => iou(box, object.box) >= least);
    if (candidates.length === 0) return false;
    free.delete(candidates.reduce((best, each) => (iou(box, each.box) >= iou(box, best.box) ? each : best)));
    return true;
  });
}

/** Mean over recall 0, 0.01 … 1 of the best precision at that recall or a higher one. */
function underPrecision(hits, objects) {
  let right = 0;
  const curve = hits.map((hit, i) => {
    right += hit;
    return { recall: right / objects, precision: right / (i + 1) };
  });
  for (let i = curve.length - 2; i >= 0; i--) {
    curve[i].precision = Math.max(curve[i].precision, curve[i + 1].precision);
  }
  return mean(RECALL_STEPS.map((step) => curve.find(({ recall }) => recall >= step)?.precision ?? 0));
}

function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
