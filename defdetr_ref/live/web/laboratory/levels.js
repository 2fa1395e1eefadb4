// The levels of the pyramid, a picture each: the grid of its pixels, and which points of the pinned query read there.
// Around the image a margin is shown, as a large part of the attention may lie outside.

import { paintPlace, paintPoints, sheet } from "./painting.js";
import { levelShapes, pixelAt, sharesOf } from "./pins.js";

const MARGIN = 0.25; // of the image, on each side

export class Levels {
  /** place: the element that holds the pictures; pick: called with (level, x, y) when one is clicked. */
  constructor(place, pick) {
    this.place = place;
    this.pick = pick;
    this.figures = [];
  }

  /** One figure for each level; made anew when another model has another number of them. */
  build(shapes, [height, width]) {
    this.figures = shapes.map((_, level) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      canvas.dataset.level = level;
      canvas.style.aspectRatio = `${width} / ${height}`;
      canvas.addEventListener("pointerdown", (event) => {
        const seen = canvas.getBoundingClientRect();
        const place = (at, start, length) => (((at - start) / length) * (1 + 2 * MARGIN) - MARGIN);
        const [x, y] = [place(event.clientX, seen.left, seen.width), place(event.clientY, seen.top, seen.height)];
        if (x >= 0 && x <= 1 && y >= 0 && y <= 1) this.pick(level, x, y);
      });
      figure.append(canvas, caption);
      return { canvas, caption, figure };
    });
    this.place.replaceChildren(...this.figures.map(({ figure }) => figure));
  }

  /** image: a canvas; points: of the pinned query, or null; pin: what is pinned. */
  show(answer, image, points, pin) {
    const shapes = levelShapes(answer);
    if (this.figures.length !== shapes.length) this.build(shapes, [image.height, image.width]);
    const shares = points && sharesOf(points, shapes.length);
    const largest = points ? Math.max(...points.map(({ weight }) => weight)) : 1;
    this.figures.forEach(({ canvas, caption }, level) => {
      const { pen, width, height } = sheet(canvas);
      const scale = 1 / (1 + 2 * MARGIN);
      const frame = { left: MARGIN * scale * width, top: MARGIN * scale * height };
      Object.assign(frame, { width: scale * width, height: scale * height });
      pen.drawImage(image, frame.left, frame.top, frame.width, frame.height);
      paintGrid(pen, frame, shapes[level]);
      const words = `Level ${level}, ${shapes[level].join(" × ")}`;
      caption.textContent = words;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${words}: where the pinned query reads on it`);
      if (pin.kind === "pixel" && pin.level === level) {
        const { x, y } = pixelAt(shapes, level, pin.x, pin.y);
        paintPlace(pen, frame.left + x * frame.width, frame.top + y * frame.height);
      }
      if (points === null) return;
      const here = points.filter((each) => each.level === level);
      paintPoints(pen, frame, here, { size: [width, height], largest, scale: width / 16 });
      caption.textContent = `${words}: ${Math.round(100 * shares.ofLevel[level])} % of the weight`;
    });
  }
}

function paintGrid(pen, { left, top, width, height }, [rows, columns]) {
  [pen.strokeStyle, pen.lineWidth] = ["#0006", 1];
  pen.beginPath();
  for (let i = 0; i <= columns; i++) {
    pen.moveTo(left + (i / columns) * width, top);
    pen.lineTo(left + (i / columns) * width, top + height);
  }
  for (let i = 0; i <= rows; i++) {
    pen.moveTo(left, top + (i / rows) * height);
    pen.lineTo(left + width, top + (i / rows) * height);
  }
  pen.stroke();
}
