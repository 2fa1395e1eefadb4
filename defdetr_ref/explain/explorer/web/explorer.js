// The explorer: what is shown, and how the notebook and the page stay of one mind.

const TWEEN_MS = 350; // from one layer to the next
const PLAY_MS = 1100; // how long a layer is shown while the layers are played
const HINT =
  "Click or drag in a picture to move the query. Keys: arrows (with Shift: further), Page Up and Page Down, Home; " +
  "[ and ] change the layer.";

class Explorer {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.tooltip = new Tooltip(root);
    this.status = element("p", { className: "dd-status" });
    this.status.setAttribute("role", "status");
    this.actions = makeActions(this);
    this.highlighted = {};
  }

  get about() {
    return this.knowledge.about;
  }

  get view() {
    return Object.fromEntries(VIEW.map((name) => [name, this.model.get(name)]));
  }

  get image() {
    return this.about.images[this.model.get("image_index")];
  }

  get layer() {
    const { part, layer } = this.view;
    return this.image?.layers.find((each) => each.part === part && each.layer === layer);
  }

  get depth() {
    return this.image.layers.filter((each) => each.part === this.view.part).length;
  }

  /** Read what Python sent once, and build the page around it. */
  open() {
    const about = this.model.get("about");
    const pictures = about.images.map((image) => {
      const picture = element("img", { src: image.picture });
      picture.addEventListener("load", () => this.draw());
      return picture;
    });
    const [table, heat] = ["table", "heat"].map((name) => asBytes(this.model.get(name)));
    this.knowledge = { about, table, heat, pictures };
    this.build();
  }

  build() {
    this.stop();
    this.main = makePanel("dd-image", `The image with the query's sampling points. ${HINT}`, null, this.actions);
    this.levels = this.layer.shapes.map((_, level) =>
      makePanel("dd-level", `The grid of level ${level}. ${HINT}`, level, this.actions),
    );
    this.places = layOut(this);
    this.refresh();
  }

  /** Change what is shown. Python hears of it, and may answer with the exact points, or with a refusal. */
  choose(changes) {
    this.choosing = true; // between the first of the changes and the last, what is shown need not exist
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.choosing = false;
    this.model.save_changes();
    if ("part" in changes || "image_index" in changes) this.build();
    else this.refresh();
  }

  /** Another part or image, and what fits to it. */
  turnTo(changes) {
    this.choose(fittingView(this, changes));
  }

  goToLayer(layer) {
    if (layer === this.view.layer || layer < 0 || layer >= this.depth) return;
    const isStill = !this.scene || matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.tween = isStill ? null : { from: this.scene, at: performance.now() };
    this.choose({ layer });
  }

  play() {
    const step = () => (this.view.layer + 1 < this.depth ? this.goToLayer(this.view.layer + 1) : this.stop());
    this.timer = setInterval(step, PLAY_MS);
    if (this.view.layer === this.depth - 1) this.goToLayer(0);
    else this.refresh();
  }

  stop() {
    if (!this.timer) return;
    clearInterval(this.timer);
    this.timer = null;
    this.refresh();
  }

  highlight(what) {
    this.highlighted = what;
    this.draw();
  }

  refresh() {
    fillControls(this);
    this.draw();
  }

  draw() {
    this.frameRequest ??= requestAnimationFrame((now) => this.drawNow(now));
  }

  drawNow(now) {
    this.frameRequest = null;
    if (!this.root.isConnected || !this.main.canvas.clientWidth) return; // drawn when it gets its place
    const answer = asBytes(this.model.get("answer"));
    this.scene = compose(this.knowledge, this.view, answer, this.highlighted, this.moving(now));
    drawMain(this.main, this.scene);
    this.levels.forEach((panel) => drawLevel(panel, this.scene));
    describeScene(this);
    if (this.tween) this.draw();
  }

  /** How far the pictures are on their way from the layer before; null when they have arrived. */
  moving(now) {
    if (!this.tween) return null;
    const share = Math.min(Math.max(now - this.tween.at, 0) / TWEEN_MS, 1);
    const { from } = this.tween;
    if (share === 1) this.tween = null;
    return { from, share: share * share * (3 - 2 * share) }; // slow, fast, slow
  }

  /** What changes in Python changes here. A part, a layer and a query may arrive one after another. */
  listen() {
    const build = () => this.build();
    const refresh = () => this.refresh();
    const draw = () => this.draw();
    const follow = { image_index: build, part: build, layer: refresh, query: refresh, heads: refresh, levels: refresh };
    const calls = { ...follow, heat_map: refresh, answer: draw, status: draw };
    const listeners = [
      ["change:about", () => this.open()],
      ...Object.entries(calls).map(([name, call]) => [`change:${name}`, () => this.isThere() && call()]),
    ];
    for (const [event, call] of listeners) this.model.on(event, call);
    const watcher = new ResizeObserver(draw);
    watcher.observe(this.root);
    return () => {
      this.stop();
      watcher.disconnect();
      for (const [event, call] of listeners) this.model.off(event, call);
    };
  }

  isThere() {
    return !this.choosing && Boolean(this.layer) && this.view.query < this.layer.queries;
  }
}

function render({ model, el }) {
  const root = element("div", { className: "defdetr-explorer" });
  el.append(root);
  const explorer = new Explorer(model, root);
  explorer.open();
  return explorer.listen();
}

export default { render };
