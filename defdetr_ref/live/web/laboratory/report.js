// What was found, in words and numbers.

import { queryOf } from "./detections.js";
import { sharesOf } from "./pins.js";
import { iou } from "./shapes.js";

/** One sentence on what is pinned. */
export function pinWords({ look, shape, nameOf }) {
  if (look.pixel !== null) {
    const { level, row, column, layer } = look.pixel;
    const { outside } = sharesOf(look.points, 0);
    return (
      `The pixel in row ${row}, column ${column} of level ${level}, in encoder layer ${layer}: ` +
      `${Math.round(100 * outside)} % of its weight reads outside the image.`
    );
  }
  if (look.pinned === null) return "No shape is held.";
  const { query, label, score, box } = look.pinned;
  const answer = `${nameOf(label)} ${score.toFixed(2)}`;
  if (shape === null || look.truth === null) return `Query ${query} sees ${answer}.`;
  const overlap = iou(box, look.truth).toFixed(2);
  return (
    `The ${shape.kind} at ${shape.x.toFixed(0)}, ${shape.y.toFixed(0)} px is seen by query ${query} as ${answer}, ` +
    `IoU with its true box ${overlap}.`
  );
}

/** A row for each shape: what sees it, how surely, and how well its box fits. */
export function fillTable(body, look, { shapes, held }, nameOf) {
  const rows = shapes.map(({ kind }, i) => {
    const { label, score, box } = queryOf(look.detections, look.truths[i].box);
    const row = document.createElement("tr");
    if (i === held) row.setAttribute("aria-current", "true");
    for (const words of [kind, nameOf(label), score.toFixed(2), iou(box, look.truths[i].box).toFixed(2)]) {
      row.append(Object.assign(document.createElement("td"), { textContent: words }));
    }
    return row;
  });
  body.replaceChildren(...rows);
}

/** AP in hundredths; a scene without shapes has none. */
export function apWords(ap) {
  return Number.isNaN(ap) ? "–" : (100 * ap).toFixed(1);
}
