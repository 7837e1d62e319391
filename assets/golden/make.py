#!/usr/bin/env python3
"""Makes the golden fixtures of this folder: what Keras 3 on JAX computes for each recipe in three training steps.

usage: python3 assets/golden/make.py        (pip install keras jax numpy safetensors)

Every network starts from weights that both sides generate (`initial_weights`, src/rng.rs), trains on the first
60 images of the training set, 20 a step, and is then evaluated on the first 20. Keras runs three times: in float32,
as its users run it; in float64 from the same initial weights, for comparison with the crate's f64 reference; and in
float64 with scaled pixels and settings rounded to float32 first, for a reference that is handed those. Dropout has
rate 0, because masks differ between libraries. README.md describes the files.
"""

import argparse
import gzip
import hashlib
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
MNIST = HERE.parent / "mnist"

SEED = 20
BATCH = 20  # ragged: not a multiple of the 16 images of a block
STEPS = 3
STEP_IMAGES = [list(range(step * BATCH, (step + 1) * BATCH)) for step in range(STEPS)]
LOGITS_IMAGES = STEP_IMAGES[0]
TENSOR_INDEX = {"weight": 0, "bias": 1}  # the stream's second coordinate

# ---------------------------------------------------------------------------------------------------------------
# The networks. A layer is (kind, arguments...); the index in the list is the layer index of the tensor names.

POOL, FLATTEN, DROPOUT, NORM = ("max_pool", 2), ("flatten",), ("dropout", 0.0), ("batch_norm",)
NORM_SETTINGS = {"momentum": 0.99, "epsilon": 1e-3}


def dense(units, activation="linear"):
    return ("dense", units, activation)


def conv(filters, kernel, padding):
    return ("conv2d", filters, kernel, padding, "relu")


def convolutional(*filters):
    """The tutorial's family: 3x3 convolutions and pools, dense 128, dense 10."""
    blocks = [layer for count in filters for layer in (conv(count, 3, "same"), POOL)]
    return blocks + [DROPOUT, FLATTEN, dense(128, "relu"), DROPOUT, dense(10)]


ADAM = {"kind": "adam", "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
SGD = {"kind": "sgd", "learning_rate": 0.01}


def recipe(layers, optimiser=ADAM, scaling="unit", init="glorot_uniform", reduction="mean", keep=2000):
    """`keep`: how many elements of a tensor a fixture holds at most."""
    return dict(layers=layers, optimiser=optimiser, scaling=scaling, init=init, reduction=reduction, keep=keep)


def deep(blocks):
    return [dense(100), NORM, ("activation", "selu")] * blocks + [dense(10)]


MLP_16 = [dense(16, "relu"), dense(10)]

FIXTURES = {
    "mlp-50x100": recipe(deep(50), SGD, init="lecun_uniform", keep=500),
    "mlp-128-128": recipe([dense(128, "relu"), dense(128, "relu"), dense(10)], scaling="l2-columns"),
    "cnn-28-10": recipe(
        [conv(28, 3, "valid"), POOL, conv(10, 4, "valid"), POOL, FLATTEN, dense(20, "relu"), dense(10)], scaling="raw"
    ),
    "softmax": recipe([dense(10)], SGD, init="uniform_1", reduction="sum"),
    "cnn-16-36": recipe(convolutional(16, 36)),
    "cnn-32-64": recipe(convolutional(32, 64)),
    "cnn-64-128": recipe(convolutional(64, 128)),
    "cnn-128-256": recipe(convolutional(128, 256)),
    "cnn-16-36-64": recipe(convolutional(16, 36, 64)),
    "cnn-16": recipe(convolutional(16)),
    "mlp-16-16": recipe([dense(16, "relu"), dense(16, "relu"), DROPOUT, dense(10)]),
    # Not a recipe: `mlp-50x100` is chaotic (README.md); with five blocks every number can be compared.
    "mlp-5x100": recipe(deep(5), SGD, init="lecun_uniform"),
    # Not recipes: the remaining optimisers on a network of two layers.
    "sgd-momentum": recipe(MLP_16, {**SGD, "momentum": 0.9, "nesterov": False}),
    "sgd-nesterov": recipe(MLP_16, {**SGD, "momentum": 0.9, "nesterov": True}),
    "adamw": recipe(MLP_16, {**ADAM, "kind": "adamw", "weight_decay": 0.004}),
    "rmsprop": recipe(MLP_16, {"kind": "rmsprop", "learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-7}),
}

# ---------------------------------------------------------------------------------------------------------------
# The generator of src/rng.rs.

ROTATIONS = [[13, 15, 26, 6], [17, 29, 16, 24]]
PURPOSE_TEST = 5


def threefry2x32(key, counter):
    """Threefry-2x32 with 20 rounds; `counter` is a pair of uint32 arrays."""
    key = [np.uint32(word) for word in key]
    schedule = [key[0], key[1], np.uint32(0x1BD11BDA) ^ key[0] ^ key[1]]
    with np.errstate(over="ignore"):
        x0, x1 = (np.atleast_1d(np.asarray(word, np.uint32)) + schedule[i] for i, word in enumerate(counter))
        for group in range(5):
            for distance in ROTATIONS[group % 2]:
                x0 = x0 + x1
                x1 = (x1 << np.uint32(distance) | x1 >> np.uint32(32 - distance)) ^ x0
            x0 = x0 + schedule[(group + 1) % 3]
            x1 = x1 + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x0, x1


def uniform(seed, a, b, count):
    """`Stream::new(seed, Purpose::Test, a, b).uniform(0..count)`, float32 in [0, 1)."""
    key = [word[0] for word in threefry2x32([seed & 0xFFFFFFFF, seed >> 32], [PURPOSE_TEST, a])]
    key = [word[0] for word in threefry2x32(key, [b, 0])]
    pairs = np.arange((count + 1) // 2, dtype=np.uint32)
    words = np.stack(threefry2x32(key, [pairs, np.zeros_like(pairs)]), axis=1).reshape(-1)[:count]
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def check_generator():
    """The known answers of Random123 that src/rng.rs is tested with."""
    for key, counter, expected in [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ]:
        assert tuple(int(word[0]) for word in threefry2x32(key, counter)) == expected


# ---------------------------------------------------------------------------------------------------------------
# Parameters in the crate's storage order: dense [inputs, units], conv2d [in_channels, ky, kx, filters]; the inputs of
# a dense layer after a flatten are in the order (channel, y, x). Keras has [ky, kx, in_channels, filters] and (y, x,
# channel).


def shapes(layers):
    """For each layer with parameters: (index, kind, crate shape of the weight, (C, H, W) before a flatten or None)."""
    shape, unflattened, found = (1, 28, 28), None, []
    if layers[0][0] == "dense":
        shape = (784,)
    for index, (kind, *arguments) in enumerate(layers):
        if kind == "conv2d":
            filters, kernel, padding, _ = arguments
            found.append((index, kind, (shape[0], kernel, kernel, filters), None))
            lost = kernel - 1 if padding == "valid" else 0
            shape = (filters, shape[1] - lost, shape[2] - lost)
        elif kind == "max_pool":
            shape = (shape[0], shape[1] // 2, shape[2] // 2)
        elif kind == "flatten":
            unflattened, shape = shape, (math.prod(shape),)
        elif kind == "dense":
            found.append((index, kind, (shape[0], arguments[0]), unflattened))
            unflattened, shape = None, (arguments[0],)
        elif kind == "batch_norm":
            found.append((index, kind, shape, None))
    return found


def to_keras(weight, kind, unflattened):
    if kind == "conv2d":
        return weight.transpose(1, 2, 0, 3)
    if unflattened:
        return weight.reshape(*unflattened, -1).transpose(1, 2, 0, 3).reshape(weight.shape)
    return weight


def from_keras(weight, kind, unflattened):
    if kind == "conv2d":
        return weight.transpose(2, 0, 1, 3)
    if unflattened:
        channels, height, width = unflattened
        return weight.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(weight.shape)
    return weight


def initial_weights(layers, init):
    """{(layer index, name): float32 array in the crate's order}; element i is (uniform(i) - 0.5) * 2 * limit."""
    tensors = {}
    for index, kind, shape, _ in shapes(layers):
        if kind == "batch_norm":
            tensors[index, "gamma"] = np.ones(shape, np.float32)
            tensors[index, "beta"] = np.zeros(shape, np.float32)
            continue
        receptive = math.prod(shape[1:-1])
        fan_in, fan_out = receptive * shape[0], receptive * shape[-1]
        limit = {
            "glorot_uniform": math.sqrt(6 / (fan_in + fan_out)),
            "lecun_uniform": math.sqrt(3 / fan_in),
            "uniform_1": 1.0,
        }[init]
        for name, dims, scale in [
            ("weight", shape, limit),
            ("bias", shape[-1:], 1.0 if init == "uniform_1" else 0.0),
        ]:
            draws = uniform(SEED, index, TENSOR_INDEX[name], math.prod(dims))
            values = (draws - np.float32(0.5)) * np.float32(2) * np.float32(scale)
            tensors[index, name] = values.reshape(dims) + np.float32(0)  # no negative zeros
    return tensors


# ---------------------------------------------------------------------------------------------------------------
# Data.


def read_idx(name):
    data = gzip.open(MNIST / f"{name}.gz").read()
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def scaled(images, scaling, dtype):
    """(N, 28, 28) bytes to `dtype`."""
    import keras

    if scaling == "unit":
        return images.astype(dtype) / np.dtype(dtype).type(255)
    if scaling == "l2-columns":
        return keras.utils.normalize(images, axis=1).astype(dtype)
    assert scaling == "raw"
    return images.astype(dtype)


# ---------------------------------------------------------------------------------------------------------------
# Keras. This part runs in a process of its own for each run, because JAX settles its precision at start.

RUNS = {"f32": "float32", "f64": "float64", "f64_rounded": "float64"}


def rounder(run):
    """What is done to pixels and settings before they are used."""
    if run == "f64_rounded":
        return lambda value: np.float32(value).astype(np.float64)
    return lambda value: value


def build(layers, norm_settings):
    from keras import Input, Sequential
    from keras import layers as kl

    make = {
        "dense": lambda units, activation: kl.Dense(units, activation),
        "conv2d": lambda filters, kernel, padding, activation: kl.Conv2D(
            filters, kernel, padding=padding, activation=activation
        ),
        "max_pool": kl.MaxPooling2D,
        "flatten": kl.Flatten,
        "dropout": kl.Dropout,
        "batch_norm": lambda: kl.BatchNormalization(**norm_settings),
        "activation": kl.Activation,
    }
    shape = (784,) if layers[0][0] == "dense" else (28, 28, 1)
    return Sequential([Input(shape)] + [make[kind](*arguments) for kind, *arguments in layers])


def optimiser_of(settings, rounded):
    import keras

    kinds = {
        "sgd": keras.optimizers.SGD,
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "rmsprop": keras.optimizers.RMSprop,
    }
    numbers = {name: float(rounded(value)) for name, value in settings.items() if isinstance(value, float)}
    return kinds[settings["kind"]](**{name: value for name, value in settings.items() if name != "kind"} | numbers)


def train(spec, run):
    """Three steps; returns {tensor name: array}, nothing sampled yet."""
    import jax
    import keras

    dtype, rounded = RUNS[run], rounder(run)
    layers = spec["layers"]
    model = build(layers, {name: float(rounded(value)) for name, value in NORM_SETTINGS.items()})
    variables = {}  # (layer index, name) -> Keras variable, kind, shape before the flatten
    for index, kind, _, unflattened in shapes(layers):
        layer = model.layers[index]
        if kind == "batch_norm":
            names = dict(
                gamma=layer.gamma,
                beta=layer.beta,
                running_mean=layer.moving_mean,
                running_variance=layer.moving_variance,
            )
        else:
            names = dict(weight=layer.kernel, bias=layer.bias)
        for name, variable in names.items():
            moved = (kind, unflattened) if name == "weight" else ("", None)
            variables[index, name] = (variable, *moved)
    for key, value in initial_weights(layers, spec["init"]).items():
        variable, kind, unflattened = variables[key]
        variable.assign(to_keras(value.astype(dtype), kind, unflattened))
        assert variable.dtype == dtype

    images = scaled(read_idx("train-images-idx3-ubyte")[: BATCH * STEPS], spec["scaling"], dtype)
    images = rounded(images).reshape(-1, *model.input_shape[1:])
    labels = read_idx("train-labels-idx1-ubyte")[: BATCH * STEPS].astype(np.int32)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction={"mean": "sum_over_batch_size", "sum": "sum"}[spec["reduction"]]
    )

    def loss_of(trainable, fixed, x, y):
        logits, fixed = model.stateless_call(trainable, fixed, x, training=True)
        return cross_entropy(y, logits), fixed

    step_of = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    logits_of = jax.jit(lambda trainable, fixed, x: model.stateless_call(trainable, fixed, x, training=False)[0])

    def values(variables):
        return [variable.value for variable in variables]

    optimiser = optimiser_of(spec["optimiser"], rounded)
    out, losses = {}, []
    for step, chosen in enumerate(STEP_IMAGES):
        (loss, fixed), grads = step_of(
            values(model.trainable_variables), values(model.non_trainable_variables), images[chosen], labels[chosen]
        )
        for variable, value in zip(model.non_trainable_variables, fixed):
            variable.assign(value)
        losses.append(np.asarray(loss))
        if step == 0:
            by_path = {variable.path: grad for variable, grad in zip(model.trainable_variables, grads)}
            for (index, name), (variable, kind, unflattened) in variables.items():
                if variable.trainable:
                    grad = np.asarray(by_path[variable.path])
                    out[f"grad.{index}.{name}"] = from_keras(grad, kind, unflattened)
        optimiser.apply(grads, model.trainable_variables)
    for (index, name), (variable, kind, unflattened) in variables.items():
        out[f"after.{index}.{name}"] = from_keras(np.asarray(variable.value), kind, unflattened)
    out["loss"] = np.stack(losses)
    out["logits"] = np.asarray(
        logits_of(values(model.trainable_variables), values(model.non_trainable_variables), images[LOGITS_IMAGES])
    )
    assert all(value.dtype == dtype and np.isfinite(value).all() for value in out.values())
    return out


def activations():
    """Each activation and its derivative in float64, and softmax and the loss over whole rows."""
    import jax
    import jax.numpy as jnp
    import keras

    # Integers, where tails and the kinks at 0 stand; then what overflows or cancels when written carelessly.
    x = np.concatenate([np.arange(-20.0, 21.0), [-1000.0, -100.0, -1e-3, -1e-8, 1e-8, 1e-3, 100.0, 1000.0]])
    out = {"x": x.tolist()}
    for name in ["linear", "sigmoid", "tanh", "relu", "elu", "selu", "swish"]:
        function = getattr(keras.activations, name)

        def scalar(value, function=function):
            return jnp.asarray(function(value))

        out[name] = {
            "y": np.asarray(jax.vmap(scalar)(x)).tolist(),
            "derivative": np.asarray(jax.vmap(jax.grad(scalar))(x)).tolist(),
        }

    rows = {
        "small": np.linspace(-2.0, 2.0, 10),
        "wide": np.arange(-20.0, 21.0),
        "hundreds": np.array([100.0, -100.0, 99.5, 0.0, -100.0, 100.0, 50.0, -50.0, 1.0, 98.0]),
        "equal": np.full(10, 1000.0),
    }
    out["softmax"] = []
    for row_name, row in rows.items():
        upstream = np.cos(np.arange(row.size, dtype=np.float64))
        y, pullback = jax.vjp(lambda z: keras.activations.softmax(z[None])[0], row)
        label = row.size // 2

        def loss_of(z, label=label):
            return keras.ops.sparse_categorical_crossentropy(np.array([label]), z[None], from_logits=True)[0]

        loss, grad = jax.value_and_grad(loss_of)(row)
        out["softmax"].append(
            {
                "row": row_name,
                "x": row.tolist(),
                "y": np.asarray(y).tolist(),
                "upstream": upstream.tolist(),
                "upstream_times_jacobian": np.asarray(pullback(upstream)[0]).tolist(),
                "label": label,
                "cross_entropy": float(loss),
                "cross_entropy_grad": np.asarray(grad).tolist(),
            }
        )
    return out


def versions():
    import jax
    import jaxlib
    import keras

    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "numpy": np.__version__,
    }


def worker(run, folder):
    import keras

    keras.config.set_floatx(RUNS[run])
    if RUNS[run] == "float64":
        # Outside TensorFlow, Keras promotes float64 with float32 to float32, so that its batch norm rounds its input.
        from keras.src.backend.common import dtypes

        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
        assert keras.backend.result_type("float64", "float32") == "float64"
    for name, spec in FIXTURES.items():
        keras.utils.clear_session()
        np.savez(folder / f"{name}.{run}.npz", **train(spec, run))
    if run == "f64":
        (folder / "ops.json").write_text(json.dumps(activations()))
        (folder / "versions.json").write_text(json.dumps(versions()))


# ---------------------------------------------------------------------------------------------------------------
# Files.


def stride_for(shape, keep):
    """The least stride that keeps at most `keep` elements and visits every row and column in turn."""
    stride = -(-math.prod(shape) // keep)
    while stride > 1 and any(math.gcd(stride, extent) > 1 for extent in shape):
        stride += 1
    return stride


def kept(name, spec):
    """Of a deep network's running statistics only those of four blocks are kept."""
    _, index, tensor = name.split(".")
    many = sum(layer == NORM for layer in spec["layers"]) > 4
    return not (many and tensor.startswith("running_")) or int(index) // 3 in (0, 1, 24, 49)


def largest_difference(left, right):
    return {key: float(f"{np.abs(value - right[key]).max():.2g}") for key, value in left.items()}


def write_fixture(name, spec, results, made_with):
    from safetensors.numpy import save_file

    tensors, strides, single = {}, {}, results["f32"]
    for key, value in single.items():
        if key in ("loss", "logits"):
            tensors[key] = value
            for run in ["f64", "f64_rounded"]:
                tensors[f"{key}_{run}"] = results[run][key]
        elif kept(key, spec):
            strides[key.split(".", 1)[1]] = stride = stride_for(value.shape, spec["keep"])
            tensors[key] = np.ascontiguousarray(value.reshape(-1)[::stride])
    initial = initial_weights(spec["layers"], spec["init"])
    differences = largest_difference(single, results["f64"])
    rounding = largest_difference(results["f64_rounded"], results["f64"])
    golden = {
        "recipe": name,
        "layers": [" ".join(map(str, layer)) for layer in spec["layers"]],
        "scaling": spec["scaling"],
        "optimiser": spec["optimiser"],
        "loss_reduction": spec["reduction"],
        "batch_size": BATCH,
        "step_images": STEP_IMAGES,
        "logits_images": LOGITS_IMAGES,
        "seed": SEED,
        "init": spec["init"],
        "initial_sha256": {
            f"{index}.{tensor}": hashlib.sha256(value.astype("<f4").tobytes()).hexdigest()
            for (index, tensor), value in initial.items()
        },
        "shapes": {key.split(".", 1)[1]: value.shape for key, value in single.items() if key.startswith("after.")},
        "strides": strides,
        "largest_difference_f32_f64": differences,
        "largest_difference_rounded": {key: rounding[key] for key in ("loss", "logits")},
        "versions": made_with,
    }
    path = HERE / f"{name}.safetensors"
    save_file(tensors, path, metadata={"golden": json.dumps(golden, separators=(",", ":"))})
    summary = [f"{name:13} {path.stat().st_size:7} bytes; largest |f32 - f64|:"]
    for part in ("loss", "logits", "grad", "after"):
        summary.append(f"{part} {max(value for key, value in differences.items() if key.startswith(part)):.1e}")
    print(*summary, f"; rounding: loss {rounding['loss']:.1e} logits {rounding['logits']:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    check_generator()
    if arguments.run:
        return worker(arguments.run, arguments.folder)

    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for run, dtype in RUNS.items():
            environment = os.environ | {
                "KERAS_BACKEND": "jax",
                "JAX_PLATFORMS": "cpu",
                "JAX_ENABLE_X64": str(dtype == "float64"),
                # One thread, so that sums have one order.
                "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
                "OMP_NUM_THREADS": "1",
            }
            command = [sys.executable, __file__, "--run", run, "--folder", temporary]
            subprocess.run(command, env=environment, check=True)
        made_with = json.loads((folder / "versions.json").read_text())
        for name, spec in FIXTURES.items():
            results = {run: dict(np.load(folder / f"{name}.{run}.npz")) for run in RUNS}
            write_fixture(name, spec, results, made_with)
        operations = json.loads((folder / "ops.json").read_text())
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in operations.items()]
        (HERE / "ops.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
        (HERE / "versions.json").write_text(json.dumps(made_with, indent=1) + "\n")


if __name__ == "__main__":
    main()
