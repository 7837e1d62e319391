// A network in the page: the plan with its weights and data. What src/train/engine.rs is to the program.
import { Interpreter, openDevice } from "./interpreter.js";

const LANES = 16; // images in a block: the innermost dimension of every tensor
const RIGHT = 0x80000000; // the bit of a right answer; the rest of the word is the answer

export class Network {
  // Fetches everything from the page's own folder; `told` hears what it is waiting for.
  static async open(told) {
    told("Looking for a graphics device…");
    const opened = await openDevice();
    told("Loading the network…");
    const fetched = async (path) => {
      const response = await fetch(path);
      if (!response.ok) throw new Error(`${path} is missing here (${response.status}); export the page again.`);
      return response;
    };
    const words = async (path, Type) => new Type(await (await fetched(path)).arrayBuffer());
    const self = new Network();
    self.device = opened.name;
    self.plan = await (await fetched("plan.json")).json();
    const files = [["weights.bin", Float32Array], ["initial.bin", Float32Array], ["schedule.bin", Float32Array], ["images.bin", Uint32Array], ["labels.bin", Uint32Array]];
    const shader = async (path) => (await fetched(path)).text();
    const [interpreter, ...arrays] = await Promise.all([
      Interpreter.open(self.plan, opened, shader, (done, all) => told(`Compiling kernels: ${done} of ${all}…`)),
      ...files.map(([path, Type]) => words(path, Type)),
    ]);
    self.interpreter = interpreter;
    [self.trained, self.initial, self.schedule, self.images, self.labels] = arrays;
    const { roles } = self.plan;
    interpreter.write(roles.images, self.images);
    interpreter.write(roles.labels, self.labels);
    self.setWeights(self.trained);
    return self;
  }

  // Weights (parameters, then statistics), and an optimiser that has seen nothing.
  setWeights(weights) {
    const { roles, buffers } = this.plan;
    const parameters = weights.length - this.statisticsCount(weights);
    this.interpreter.write(roles.parameters, weights.subarray(0, parameters));
    if (parameters < weights.length) this.interpreter.write(roles.statistics, weights.subarray(parameters));
    for (const id of roles.moments) this.interpreter.write(id, new Float32Array(buffers[id].words));
    this.step = 0;
    this.epoch = 0;
  }

  // A buffer has a word at least, also where there is nothing to keep.
  statisticsCount(weights) {
    const { roles, buffers } = this.plan;
    return weights.length - buffers[roles.parameters].words;
  }

  // Puts bytes [height][width], 0 paper and 255 ink, in the place behind the data.
  setDrawn(pixels) {
    const size = pixels.length;
    const first = this.plan.images * size;
    // Words are written, so the bytes before and behind in the first and last word are kept or nobody's.
    const offset = first % 4;
    const bytes = new Uint8Array(4 * Math.ceil((offset + size) / 4));
    bytes.set(new Uint8Array(this.images.buffer).subarray(first - offset, first));
    bytes.set(pixels, offset);
    this.interpreter.write(this.plan.roles.images, new Uint32Array(bytes.buffer), (first - offset) / 4);
  }

  // The logits of images, by their number in the data; `plan.images` is the drawn one.
  async logits(rows) {
    const { classes, evaluation_batch_size: batch, roles } = this.plan;
    const all = [];
    for (let first = 0; first < rows.length; first += batch) {
      const part = rows.slice(first, first + batch);
      this.startEvaluation(part);
      this.interpreter.run("evaluate");
      const raw = await this.interpreter.read(roles.logits, Math.ceil(part.length / LANES) * LANES * classes);
      for (let n = 0; n < part.length; n++) {
        const start = Math.floor(n / LANES) * classes * LANES + (n % LANES);
        all.push(Array.from({ length: classes }, (_, c) => raw[start + c * LANES]));
      }
    }
    return all;
  }

  // Mean loss and share of right answers.
  async evaluate(rows) {
    const { evaluation_batch_size: batch, roles } = this.plan;
    this.startEvaluation(rows);
    this.interpreter.run("evaluate", Math.ceil(rows.length / batch));
    // Both copies are in the queue before anything else can be: a drawing may be recognised meanwhile.
    const [losses, outcomes] = await Promise.all([
      this.interpreter.read(roles.evaluate.image_loss, rows.length),
      this.interpreter.read(roles.evaluate.outcome, rows.length, 0, Uint32Array),
    ]);
    const right = outcomes.filter((outcome) => (outcome & RIGHT) !== 0).length;
    return { loss: losses.reduce((sum, loss) => sum + loss, 0) / rows.length, accuracy: right / rows.length };
  }

  startEvaluation(rows) {
    const { evaluation_batch_size: batch, roles } = this.plan;
    this.interpreter.write(roles.evaluate.order, Uint32Array.from(rows));
    this.interpreter.write(roles.evaluate.control, this.control(rows.length, batch, 0, 0));
  }

  // The words of src/ops/control.rs before the first step.
  control(rows, batch, globalStep, epoch) {
    return Uint32Array.from([0, Math.min(rows, batch), globalStep, rows, batch, epoch, ...this.plan.seed]);
  }

  // One epoch over the training images in this order. `told(loss, step)` is called after each step with the batch's mean
  // loss; where it returns false, the epoch ends there.
  async train(order, told) {
    const { batch_size: batch, roles, schedule_epochs: epochs } = this.plan;
    const steps = Math.ceil(order.length / batch);
    const perEpoch = this.schedule.length / 2 / epochs;
    const from = 2 * perEpoch * Math.min(this.epoch, epochs - 1);
    this.interpreter.write(roles.schedule, this.schedule.subarray(from, from + 2 * perEpoch));
    this.interpreter.write(roles.train.order, Uint32Array.from(order));
    this.interpreter.write(roles.train.control, this.control(order.length, batch, this.step, this.epoch));
    for (let step = 0; step < steps; step++) {
      this.interpreter.run("train");
      this.step += 1;
      const [loss] = await this.interpreter.read(roles.train.losses, 1, step);
      const images = Math.min(batch, order.length - step * batch);
      if (told(loss / images, this.step) === false) return;
    }
    this.epoch += 1;
  }
}

export function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}
