// The page of `gpu-mnist serve`: drawings go to the program, answers and events come back.
import { Bars } from "./bars.js";
import { Chart } from "./chart.js";
import { Pad } from "./pad.js";
import { bytes, showLayer, showPixels } from "./pixels.js";

const POLL = 500; // milliseconds between looks at the events
const $ = (id) => document.getElementById(id);

const bars = new Bars($("answer"), $("bars"), 10);
const pad = new Pad($("pad"), recognise);
let hasModel = false;
let asking = false;
let again = false;
let last = null;

$("clear").addEventListener("click", () => pad.clear());
$("undo").addEventListener("click", () => pad.undo());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(last));

// One question at a time; what is drawn meanwhile is asked as soon as there is an answer.
async function recognise() {
  showHint();
  if (pad.empty || !hasModel) return show(null);
  if (asking) return void (again = true);
  asking = true;
  try {
    do {
      again = false;
      const picture = await new Promise((resolve) => pad.picture().toBlob(resolve, "image/png"));
      const response = await fetch("/api/predict", { method: "POST", body: picture });
      const answer = await response.json();
      if (pad.empty) show(null);
      else if (response.ok) show(answer);
      else note(answer.error, true);
    } while (again);
  } catch {
    note("The program does not answer. Is it still running?", true);
  } finally {
    asking = false;
  }
}

function show(answer) {
  last = answer;
  bars.show(answer?.probabilities);
  const { height = 28, width = 28 } = answer ?? {};
  showPixels($("seen"), answer && bytes(answer.pixels), height, width);
  $("size").textContent = `${height} × ${width} pixels`;
  note(answer?.warnings.join("; ") ?? "", false);
  showLayers(answer?.layers ?? []);
}

function note(message, bad) {
  $("note").textContent = message;
  $("note").classList.toggle("bad", bad);
}

function showLayers(layers) {
  const box = $("layers");
  $("inside").hidden = layers.length === 0;
  while (box.children.length > layers.length) box.lastChild.remove();
  layers.forEach((layer, i) => {
    if (!box.children[i]) {
      const made = document.createElement("div");
      made.className = "layer";
      made.append(...["h3", "div", "canvas"].map((tag) => document.createElement(tag)));
      made.children[1].className = "muted small";
      box.append(made);
    }
    const [name, what, canvas] = box.children[i].children;
    const { channels, height, width, largest } = layer;
    const shape = height * width === 1 ? channels : `${channels} × ${height} × ${width}`;
    name.textContent = layer.name;
    what.textContent = `${layer.what} → ${shape}, up to ±${largest.toPrecision(3)}`;
    showLayer(canvas, layer, bytes(layer.values));
  });
}

function showHint() {
  $("hint").hidden = hasModel && !pad.empty;
  $("hint").textContent = hasModel ? "with mouse, pen or finger" : "as soon as the training is over";
}

// The run's figures as its events tell them.
class Run {
  constructor() {
    this.loss = new Chart($("loss"), { title: "Loss", xLabel: "epoch" });
    this.accuracy = new Chart($("accuracy"), { title: "Accuracy", xLabel: "epoch", share: true });
    this.forget();
  }

  forget() {
    Object.assign(this, { next: 0, start: null, steps: [], epochs: [], result: null });
  }

  take(event) {
    if (event.event === "start") {
      // A run that was taken up goes on after `first_step`; what came later did not happen.
      const perEpoch = Math.ceil(event.rows / event.batch_size);
      this.start = { ...event, perEpoch };
      this.steps = this.steps.filter((step) => step.step <= event.first_step);
      this.epochs = this.epochs.filter((epoch) => epoch.epoch * perEpoch <= event.first_step);
      this.result = null;
    } else if (event.event === "step") this.steps.push(event);
    else if (event.event === "epoch") this.epochs.push(event);
    else if (event.event === "result") this.result = event;
  }

  show() {
    if (!this.start) return;
    $("training").hidden = false;
    const { perEpoch, steps } = this.start;
    const curve = (name, kind, key) => ({ name, kind, points: this.epochs.filter((e) => e[key] != null).map((e) => [e.epoch, e[key]]) });
    const stepPoints = this.steps.map((step) => [step.step / perEpoch, step.loss]);
    // A long run's first epochs are not squeezed against the axis.
    const now = Math.max(this.epochs.at(-1)?.epoch ?? 0, (this.steps.at(-1)?.step ?? 0) / perEpoch);
    const end = Math.min(steps / perEpoch, Math.max(2, 2 * now));
    this.loss.show([{ name: "step", kind: "faint", points: stepPoints }, curve("training", "first", "loss"), curve("validation", "second", "val_loss")], end);
    this.accuracy.show([curve("training", "first", "accuracy"), curve("validation", "second", "val_accuracy")], end);
    const done = Math.max(this.start.first_step, this.steps.at(-1)?.step ?? 0, (this.epochs.at(-1)?.epoch ?? 0) * perEpoch);
    $("progress").style.width = this.result ? "100%" : `${(100 * Math.min(done, steps)) / steps}%`;
    const rate = this.epochs.at(-1)?.images_per_second;
    $("status").textContent = this.result
      ? `done: test accuracy ${(100 * this.result.test_accuracy).toFixed(2)} %, test loss ${this.result.test_loss.toFixed(4)}`
      : `step ${Math.min(done, steps)} of ${steps}` + (rate ? `, ${Math.round(rate)} images/s` : "");
  }
}

const run = new Run();

async function poll() {
  try {
    const news = await (await fetch(`/api/events?from=${run.next}`)).json();
    if (news.first && run.next > 0) run.forget();
    news.events.forEach((event) => run.take(event));
    run.next = news.next;
    if (news.events.length) run.show();
    if (news.model !== hasModel) {
      hasModel = news.model;
      recognise();
    }
  } catch {
    if (!run.result && run.start) $("status").textContent += " (the program does not answer)";
    return void setTimeout(poll, 10 * POLL);
  }
  setTimeout(poll, run.result ? 4 * POLL : POLL);
}

async function about() {
  const about = await (await fetch("/api/run")).json();
  $("title").textContent = about.name || "gpu-mnist";
  document.title = `${about.name} · gpu-mnist`;
  if (about.recipe)
    $("facts").textContent = `${about.recipe}: ${about.description}. Trained on ${about.data} by ${about.device.adapter} (${about.device.backend}), seed ${about.seed}.`;
}

show(null);
showHint();
await about();
poll();
