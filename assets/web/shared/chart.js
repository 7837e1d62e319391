// A line chart as SVG that can be drawn again at every step.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [520, 260, 46, 12, 44, 34];
const MOST_POINTS = 600;

export class Chart {
  // `curves`: { name, kind: first | second | faint, points: [[x, y], ...] }; `share`: y is 0 to 1, shown in percent.
  constructor(box, { title, xLabel, share = false }) {
    this.svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
    this.options = { title, xLabel, share };
    box.classList.add("chart");
    box.append(this.svg);
  }

  show(curves, xEnd = 0) {
    const shown = curves
      .map((curve) => ({ ...curve, points: thinned(curve.points.filter(([, y]) => Number.isFinite(y))) }))
      .filter((curve) => curve.points.length);
    const points = shown.flatMap((curve) => curve.points);
    const { title, xLabel, share } = this.options;
    const right = Math.max(1, xEnd, ...points.map(([x]) => x));
    const yValues = points.map(([, y]) => y);
    let [low, high] = points.length ? [Math.min(...yValues), Math.max(...yValues)] : [0, 1];
    if (!share) low = 0;
    else [low, high] = [Math.max(0, low - 0.02), Math.min(1, Math.max(high, low + 0.05))];
    const ticks = niceTicks(low, high, 5);
    [low, high] = [Math.min(low, ticks[0]), share ? Math.min(1, ticks.at(-1)) : ticks.at(-1)];
    const x = (value) => LEFT + (value / right) * (WIDTH - LEFT - RIGHT);
    const y = (value) => TOP + (1 - (value - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);

    this.svg.replaceChildren(text(LEFT, 16, title, "title"));
    for (const tick of ticks.filter((tick) => tick <= high + 1e-9)) {
      this.svg.append(element("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }));
      this.svg.append(text(LEFT - 8, y(tick) + 4, share ? `${round(100 * tick)} %` : round(tick), "", "end"));
    }
    for (const tick of niceTicks(0, right, 6).filter((tick) => tick <= right && (Number.isInteger(tick) || right < 3)))
      this.svg.append(text(x(tick), HEIGHT - BOTTOM + 17, round(tick), "", "middle"));
    this.svg.append(text(WIDTH - RIGHT, HEIGHT - 2, xLabel, "", "end"));
    let legend = LEFT;
    for (const { name, kind, points } of shown) {
      const path = points.map(([px, py], i) => `${i ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
      this.svg.append(element("path", { d: path, class: `line ${kind}` }));
      const [lastX, lastY] = points.at(-1);
      if (kind !== "faint") this.svg.append(element("circle", { cx: x(lastX), cy: y(lastY), r: 4, class: `dot ${kind}` }));
      const value = share ? `${(100 * lastY).toFixed(2)} %` : lastY.toPrecision(3);
      const label = text(legend, 34, `${name} ${value}`, `name ${kind}`);
      this.svg.append(label);
      legend += label.getComputedTextLength() + 18;
    }
  }
}

function element(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function text(x, y, content, className = "", anchor = "start") {
  const made = element("text", { x, y, class: className, "text-anchor": anchor });
  made.textContent = content;
  return made;
}

// Means of equal pieces, where there are more points than the eye can tell apart.
function thinned(points) {
  if (points.length <= MOST_POINTS) return points;
  const size = points.length / MOST_POINTS;
  return Array.from({ length: MOST_POINTS }, (_, i) => {
    const piece = points.slice(Math.floor(i * size), Math.max(Math.floor(i * size) + 1, Math.floor((i + 1) * size)));
    return [piece.at(-1)[0], piece.reduce((sum, [, y]) => sum + y, 0) / piece.length];
  });
}

// About `count` round numbers from `low` to past `high`.
function niceTicks(low, high, count) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
  const ticks = [];
  for (let i = Math.floor(low / step); ; i++) {
    ticks.push(i * step);
    if (i * step >= high - 1e-9 * step) return ticks;
  }
}

function round(value) {
  return String(Number(value.toPrecision(6)));
}
