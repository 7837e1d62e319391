// Runs a plan on WebGPU: a loop over its calls. It knows no op and no layer; what a call does is in its kernel's text.
//
// The host's side of it is src/backend/gpu: the same kernels, the same bindings (the parameters at 0, the call's buffers
// after them), the same sharing of memory between buffers that are never alive together.

const UNIFORM_ALIGNMENT = 256; // offsets of uniform bindings are multiples of this everywhere
const STEPS_PER_SUBMISSION = 4; // so that a slow device answers in between

// Why there is no WebGPU here, in words for people; a device otherwise.
export async function openDevice() {
  const how = "This page computes on WebGPU: use a current Chrome, Edge, Safari or Firefox";
  if (!globalThis.isSecureContext) throw new Error(`${how}, and open it through https:// or http://localhost; browsers offer no WebGPU elsewhere.`);
  if (!navigator.gpu) throw new Error(`${how}. This browser has none.`);
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error(`${how}. This browser knows WebGPU but found no adapter that it may use; update the graphics driver, or see about:gpu.`);
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const device = await adapter.requestDevice({ requiredLimits: { maxBufferSize, maxStorageBufferBindingSize } });
  const { vendor, architecture, isFallbackAdapter } = adapter.info;
  // Kernels differ for hardware and for rasterisers in software, by the table in each op.
  const software = isFallbackAdapter || /swiftshader|llvmpipe/i.test(`${vendor} ${architecture}`);
  return { device, deviceClass: software ? "software" : "gpu", name: [vendor, architecture].filter(Boolean).join(" ") };
}

export class Interpreter {
  // `shader(path)` gives the text of a kernel; `compiled(done, all)` is called after each.
  static async open(plan, { device, deviceClass }, shader, compiled) {
    const self = new Interpreter();
    Object.assign(self, { plan, device });
    self.lost = device.lost.then(({ message }) => (self.failure = new Error(`The device was lost: ${message}`)));
    device.onuncapturederror = ({ error }) => (self.failure ??= error);
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    self.slots = plan.slots.map((words) => device.createBuffer({ size: bytesOf(words), usage }));
    const pipelines = await self.compile(deviceClass, shader, compiled);
    self.programs = self.bind(deviceClass, pipelines);
    if (self.failure) throw self.failure;
    return self;
  }

  // One pipeline for each kernel, all at once.
  async compile(deviceClass, shader, compiled) {
    const pipelines = new Map();
    const calls = Object.values(this.plan.programs).flat();
    for (const call of calls) {
      const path = call[deviceClass].shader;
      if (!pipelines.has(path)) pipelines.set(path, this.pipeline(path, call.access, shader));
    }
    let done = 0;
    for (const [path, pipeline] of pipelines) {
      pipelines.set(path, await pipeline);
      compiled(++done, pipelines.size);
    }
    return pipelines;
  }

  async pipeline(path, access, shader) {
    const { device } = this;
    const buffers = [{ type: "uniform" }, ...access.map((kind) => ({ type: kind === "read" ? "read-only-storage" : "storage" }))];
    const entries = buffers.map((buffer, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer }));
    const layout = device.createBindGroupLayout({ entries });
    const module = device.createShaderModule({ label: path, code: await shader(path) });
    const pipeline = await device.createComputePipelineAsync({
      label: path,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
    return { pipeline, layout };
  }

  // The dispatches of each program. One uniform buffer holds the parameters of all calls.
  bind(deviceClass, pipelines) {
    const { device, plan } = this;
    const calls = Object.values(plan.programs).flat();
    const uniform = device.createBuffer({ size: calls.length * UNIFORM_ALIGNMENT, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    let offset = 0;
    const dispatch = (call) => {
      const { pipeline, layout } = pipelines.get(call[deviceClass].shader);
      device.queue.writeBuffer(uniform, offset, Uint32Array.from(call.params));
      const size = 16 * Math.ceil(call.params.length / 4);
      const resources = [{ buffer: uniform, offset, size }, ...call.buffers.map((id) => this.binding(id))];
      const entries = resources.map((resource, binding) => ({ binding, resource }));
      offset += UNIFORM_ALIGNMENT;
      return { pipeline, bindGroup: device.createBindGroup({ label: call.place, layout, entries }), grid: call[deviceClass].grid };
    };
    return Object.fromEntries(Object.entries(plan.programs).map(([name, calls]) => [name, calls.map(dispatch)]));
  }

  binding(id) {
    const { slot, words } = this.plan.buffers[id];
    return { buffer: this.slots[slot], offset: 0, size: bytesOf(words) };
  }

  // Writes words (a Uint32Array or a Float32Array) from word `first` on.
  write(id, words, first = 0) {
    this.device.queue.writeBuffer(this.slots[this.plan.buffers[id].slot], 4 * first, words);
  }

  // Reads `count` words from word `first` on, after everything that was run before.
  async read(id, count, first = 0, Type = Float32Array) {
    const { device } = this;
    const staging = device.createBuffer({ size: 4 * count, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.slots[this.plan.buffers[id].slot], 4 * first, staging, 0, 4 * count);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const words = new Type(staging.getMappedRange().slice(0));
    staging.destroy();
    if (this.failure) throw this.failure;
    return words;
  }

  // Runs a program `times` times.
  run(program, times = 1) {
    for (let left = times; left > 0; left -= STEPS_PER_SUBMISSION) {
      const encoder = this.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (let i = 0; i < Math.min(left, STEPS_PER_SUBMISSION); i++) {
        for (const { pipeline, bindGroup, grid } of this.programs[program]) {
          pass.setPipeline(pipeline);
          pass.setBindGroup(0, bindGroup);
          pass.dispatchWorkgroups(...grid);
        }
      }
      pass.end();
      this.device.queue.submit([encoder.finish()]);
    }
  }
}

// Kernels may read vectors of four words.
function bytesOf(words) {
  return 16 * Math.ceil(words / 4);
}
