// A sheet of paper to draw on with mouse, pen or finger.
//
// Strokes are kept as points, 0 to 1 over the sheet, and drawn twice: for the eye in the page's colours, and in black on
// white for whoever asks for the picture.

const SIDE = 560; // pixels of the picture
const PEN = 0.075; // width of the pen, of the sheet

export class Pad {
  // `changed(live)` is called after each movement (live) and at the end of each stroke.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.strokes = [];
    this.pointer = null;
    canvas.width = canvas.height = SIDE;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.up(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.draw();
  }

  get empty() {
    return this.strokes.length === 0;
  }

  clear() {
    this.strokes = [];
    this.draw();
    this.changed(false);
  }

  undo() {
    this.strokes.pop();
    this.draw();
    this.changed(false);
  }

  // Black on white; with `widths`, the pen is within this range, least and most, as a share of the drawing's longer side.
  picture(widths = [0, 1]) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE;
    paint(canvas, this.strokes, "white", "black", penWithin(this.strokes, widths));
    return canvas;
  }

  draw() {
    const style = getComputedStyle(this.canvas);
    paint(this.canvas, this.strokes, `rgb(${style.getPropertyValue("--paper")})`, `rgb(${style.getPropertyValue("--ink")})`);
  }

  down(event) {
    // One pointer draws; the palm and other fingers do not.
    if (this.pointer !== null || event.button > 0) return;
    event.preventDefault();
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.strokes.push([this.at(event)]);
    this.draw();
    this.changed(true);
  }

  move(event) {
    if (event.pointerId !== this.pointer) return;
    // The browser hands over one event a frame; a quick hand makes several points in that time.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.strokes.at(-1).push(this.at(each));
    this.draw();
    this.changed(true);
  }

  up(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.changed(false);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }
}

function penWithin(strokes, [least, most]) {
  const points = strokes.flat();
  const extents = [0, 1].map((axis) => {
    const along = points.map((point) => point[axis]);
    return along.reduce((a, b) => Math.max(a, b), 0) - along.reduce((a, b) => Math.min(a, b), 1);
  });
  const extent = Math.max(...extents);
  if (!(extent > 0)) return PEN; // a dot, or nothing
  // The pen makes the drawing larger by its own width.
  const share = PEN / (extent + PEN);
  const wanted = Math.min(Math.max(share, least), most);
  return (wanted * extent) / (1 - wanted);
}

// Each stroke is a smooth curve: quadratic pieces between the middles of its points.
function paint(canvas, strokes, paper, ink, pen = PEN) {
  const context = canvas.getContext("2d");
  const side = canvas.width;
  context.fillStyle = paper;
  context.fillRect(0, 0, side, side);
  context.strokeStyle = context.fillStyle = ink;
  context.lineWidth = pen * side;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => [x * side, y * side]);
    context.beginPath();
    if (points.length === 1) {
      context.arc(...points[0], (pen * side) / 2, 0, 2 * Math.PI);
      context.fill();
      continue;
    }
    context.moveTo(...points[0]);
    for (let i = 1; i < points.length - 1; i++) {
      const [x, y] = points[i];
      const [nextX, nextY] = points[i + 1];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    context.lineTo(...points.at(-1));
    context.stroke();
  }
}
