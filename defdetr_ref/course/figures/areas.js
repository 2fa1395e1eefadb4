// Brings the pictures of `areas_picture` to life: drag the point, or move it with the arrow keys, and the four areas,
// their shares and the value follow. Plain script, no imports; running it twice does no harm.
for (const picture of document.querySelectorAll(".defdetr-areas:not([data-alive])")) {
  picture.dataset.alive = "";
  const svg = picture.querySelector("svg"), point = picture.querySelector(".point");
  const values = JSON.parse(picture.dataset.values), cell = Number(picture.dataset.cell), step = 0.1;
  const height = values.length, width = values[0].length;
  let x = Number(picture.dataset.x), y = Number(picture.dataset.y);
  const within = (number, low, high) => Math.min(Math.max(number, low), high);
  const place = (element, attributes) => {
    for (const name in attributes) element.setAttribute(name, attributes[name]);
  };

  function draw() {
    // The cell of four pixel centres; from the last one on it does not move further out.
    const left = within(Math.floor(x), -1, width - 1), top = within(Math.floor(y), -1, height - 1);
    let sum = 0;
    for (let corner = 0; corner < 4; corner++) {
      const right = corner % 2, below = corner >> 1;
      const row = top + below, column = left + right;
      const share = (right ? x - left : 1 - x + left) * (below ? y - top : 1 - y + top);
      const inside = row >= 0 && row < height && column >= 0 && column < width;
      const value = inside ? values[row][column] : 0;
      sum += share * value;
      // The area that belongs to a pixel lies opposite to it.
      place(picture.querySelector(`.area-${corner}`), {
        x: ((right ? left : x) + 1.5) * cell, width: (right ? x - left : left + 1 - x) * cell,
        y: ((below ? top : y) + 1.5) * cell, height: (below ? y - top : top + 1 - y) * cell,
      });
      place(picture.querySelector(`.pixel-${corner}`), {cx: (column + 1.5) * cell, cy: (row + 1.5) * cell});
      const where = inside ? `pixel (${column}, ${row})` : "outside";
      picture.querySelector(`.line-${corner}`).textContent = `${share.toFixed(2)} × ${value.toFixed(2)}   ${where}`;
    }
    place(point, {transform: `translate(${(x + 1.5) * cell} ${(y + 1.5) * cell})`});
    picture.querySelector(".where").textContent = `x = ${x.toFixed(2)}, y = ${y.toFixed(2)}`;
    picture.querySelector(".sum").textContent = `= ${sum.toFixed(3)}`;
  }

  function move(toX, toY) {
    x = within(toX, -1, width);
    y = within(toY, -1, height);
    draw();
  }

  function follow(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    move(at.x / cell - 1.5, at.y / cell - 1.5);
  }

  // A finger on the point drags it. One beside it may want to scroll the page: only a tap moves the point there.
  point.addEventListener("touchstart", (event) => event.preventDefault(), {passive: false});
  svg.addEventListener("click", follow);
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" && !point.contains(event.target)) return;
    svg.setPointerCapture(event.pointerId);
    follow(event);
    point.focus({preventScroll: true});
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    if (svg.hasPointerCapture(event.pointerId)) follow(event);
  });
  svg.addEventListener("keydown", (event) => {
    const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!way) return;
    move(Math.round((x + step * way[0]) / step) * step, Math.round((y + step * way[1]) / step) * step);
    event.preventDefault();
    event.stopPropagation();
  });
}
