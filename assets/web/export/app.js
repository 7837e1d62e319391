// The exported page: drawing, recognising and training, all of it here.
import { Bars } from "./bars.js";
import { Chart } from "./chart.js";
import { STROKE, framed } from "./frame.js";
import { Network, softmax } from "./network.js";
import { Pad } from "./pad.js";
import { showPixels } from "./pixels.js";

const $ = (id) => document.getElementById(id);

class App {
  constructor(network) {
    this.network = network;
    const { plan } = network;
    this.test = range(plan.train_images, plan.images);
    this.bars = new Bars($("answer"), $("bars"), plan.classes);
    this.pad = new Pad($("pad"), () => this.recognise());
    this.loss = new Chart($("loss"), { title: "Loss", xLabel: "epoch" });
    this.accuracy = new Chart($("accuracy"), { title: "Accuracy on the test images", xLabel: "epoch", share: true });
    this.pixels = null;
    this.busy = this.again = this.training = false;
    $("title").textContent = plan.recipe;
    document.title = `${plan.recipe} · gpu-mnist`;
    $("facts").textContent = `Everything happens in this page, on ${network.device || "this machine's graphics device"} through WebGPU: the same plan and kernels as gpu-mnist ${plan.version}.`;
    $("slice").textContent = `on ${plan.train_images} images of ${plan.data}, ${plan.batch_size} a step, tested on ${this.test.length} others`;
    $("clear").addEventListener("click", () => this.pad.clear());
    $("undo").addEventListener("click", () => this.pad.undo());
    $("example").addEventListener("click", () => this.example());
    $("train").addEventListener("click", () => (this.training ? (this.training = false) : this.train()));
    $("forget").addEventListener("click", () => this.setWeights(network.initial));
    $("restore").addEventListener("click", () => this.setWeights(network.trained));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.see());
    this.see();
  }

  // One question at a time; what is drawn meanwhile is asked as soon as there is an answer.
  async recognise() {
    $("hint").hidden = !this.pad.empty;
    const { height, width } = this.network.plan.input;
    this.pixels = this.pad.empty ? null : framed(this.pad.picture(STROKE), height, width);
    $("note").textContent = "";
    this.see();
    await this.answer();
  }

  async answer() {
    if (!this.pixels) return this.bars.show(null);
    if (this.busy) return void (this.again = true);
    this.busy = true;
    try {
      do {
        this.again = false;
        this.network.setDrawn(this.pixels);
        const [logits] = await this.network.logits([this.network.plan.images]);
        this.bars.show(this.pixels && softmax(logits));
      } while (this.again && this.pixels);
    } catch (error) {
      fail(error);
    } finally {
      this.busy = false;
    }
  }

  example() {
    this.pad.clear();
    const { input, train_images, images } = this.network.plan;
    const size = input.height * input.width;
    const row = train_images + Math.floor(Math.random() * (images - train_images));
    this.pixels = new Uint8Array(this.network.images.buffer).slice(row * size, (row + 1) * size);
    $("note").textContent = `test image ${row - train_images}, a ${this.network.labels[row]}`;
    $("hint").hidden = true;
    this.see();
    this.answer();
  }

  see() {
    const { height, width } = this.network.plan.input;
    showPixels($("seen"), this.pixels, height, width);
  }

  async setWeights(weights) {
    this.network.setWeights(weights);
    this.losses = [];
    this.accuracies = [];
    try {
      await this.measure();
      await this.answer();
    } catch (error) {
      fail(error);
    }
  }

  async measure() {
    const { loss, accuracy } = await this.network.evaluate(this.test);
    this.accuracies.push([this.network.epoch, accuracy]);
    $("status").textContent = `test accuracy ${(100 * accuracy).toFixed(1)} %, test loss ${loss.toFixed(4)}`;
    this.draw();
  }

  draw() {
    this.loss.show([{ name: "step", kind: "first", points: this.losses }], this.network.epoch + 1);
    this.accuracy.show([{ name: "test", kind: "second", points: this.accuracies }], this.network.epoch + 1);
  }

  async train() {
    const { train_images, batch_size } = this.network.plan;
    const perEpoch = Math.ceil(train_images / batch_size);
    this.switchTo(true);
    try {
      while (this.training) {
        await this.network.train(shuffled(train_images), (loss, step) => {
          this.losses.push([step / perEpoch, loss]);
          $("progress").style.width = `${(100 * (((step - 1) % perEpoch) + 1)) / perEpoch}%`;
          this.draw();
          return this.training;
        });
        if (!this.training) this.network.epoch = Math.ceil(this.network.step / perEpoch);
        await this.measure();
        await this.answer();
      }
    } catch (error) {
      fail(error);
    }
    this.switchTo(false);
  }

  switchTo(training) {
    this.training = training;
    $("train").textContent = training ? "Stop" : "Train";
    $("forget").disabled = $("restore").disabled = training;
    if (!training) $("progress").style.width = "0";
  }
}

function range(from, to) {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function shuffled(count) {
  const order = range(0, count);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function fail(error) {
  $("failure").hidden = false;
  $("reason").textContent = error.message ?? String(error);
}

try {
  const network = await Network.open((stage) => ($("facts").textContent = stage));
  const app = new App(network);
  $("app").hidden = false;
  await app.setWeights(network.trained);
  // For the console, and for tests.
  globalThis.gpuMnist = app;
} catch (error) {
  $("facts").textContent = "";
  fail(error);
}
