"""minidl.keras: Keras' programs run with one word changed, and a name that is missing says so."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import keras

# The programs as they stand in a tutorial for TensorFlow.
TEXT_CLASSIFIER = """
import tensorflow as tf
from tensorflow.keras.preprocessing.text import Tokenizer
from tensorflow.keras.preprocessing.sequence import pad_sequences
from tensorflow.keras.models import Sequential
from tensorflow.keras.layers import Embedding, LSTM, Dense, Dropout

texts = ['I love eating pizza', 'The sky is blue', 'I hate broccoli', 'The sun is shining']
labels = [1, 0, 1, 0]

tokenizer = Tokenizer(num_words=1000)
tokenizer.fit_on_texts(texts)
sequences = tokenizer.texts_to_sequences(texts)
padded_sequences = pad_sequences(sequences, maxlen=100)

model = Sequential([
    Embedding(1000, 64, input_length=100),
    LSTM(128, return_sequences=True),
    Dropout(0.5),
    LSTM(128),
    Dropout(0.5),
    Dense(1, activation='sigmoid')
])

model.compile(optimizer='adam', loss='binary_crossentropy', metrics=['accuracy'])

model.fit(padded_sequences, labels, epochs=10, batch_size=32)
"""
MANY_CLASSES = """
import tensorflow as tf
from tensorflow.keras.layers import Embedding, LSTM, Dense

model = tf.keras.Sequential([
    Embedding(input_dim=vocab_size, output_dim=embedding_dim, input_length=max_sequence_length),
    LSTM(units=128, return_sequences=True),
    LSTM(units=64, return_sequences=False),
    Dense(units=num_classes, activation='softmax')
])

model.compile(optimizer='adam', loss='categorical_crossentropy', metrics=['accuracy'])

history = model.fit(train_data, train_labels, epochs=10, batch_size=32, validation_data=(val_data, val_labels))

test_loss, test_accuracy = model.evaluate(test_data, test_labels)
"""


def run(program: str, **names: Any) -> dict[str, Any]:
    exec(compile(program.replace("tensorflow", "minidl"), "program", "exec"), names)
    return names


# ---- programs


def test_text_classifier() -> None:
    names = run(TEXT_CLASSIFIER)
    model, padded = names["model"], names["padded_sequences"]
    assert names["tokenizer"].word_index["the"] == 2
    assert padded.shape == (4, 100)
    assert padded[3, -4:].tolist() == [2, 11, 3, 12]
    assert [layer.count_params() for layer in model.layers] == [64_000, 98_816, 0, 131_584, 0, 129]
    assert len(model.history.history["accuracy"]) == 10
    p = model.predict(padded, verbose=0)
    assert p.shape == (4, 1)
    assert ((p > 0) & (p < 1)).all()


def test_many_classes() -> None:
    rng = np.random.default_rng(0)
    names: dict[str, Any] = {"vocab_size": 31, "embedding_dim": 16, "max_sequence_length": 12, "num_classes": 3}
    for part, n in (("train", 300), ("val", 60), ("test", 60)):
        labels = rng.integers(0, 3, n)
        names[f"{part}_data"] = 1 + 10 * labels[:, None] + rng.integers(0, 10, (n, 12))  # ten words for each class
        names[f"{part}_labels"] = keras.utils.to_categorical(labels)
    names = run(MANY_CLASSES, **names)
    history = names["history"].history
    assert history.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["loss"][-1] < history["loss"][0]
    assert names["test_accuracy"] > 0.95


@pytest.mark.parametrize(
    "program",
    [
        "import minidl as tf\nassert tf.keras.layers.LSTM is LSTM",
        "import minidl as tf\nassert tf.keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)(10) == 0.05",
        "import minidl as tf\nassert tf.keras.preprocessing.sequence.pad_sequences([[1]], 2).tolist() == [[0, 1]]",
        "import minidl as tf\ntf.random.set_seed(1)\ntf.keras.utils.set_random_seed(1)",
        "from minidl import keras\nkeras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).summary()",
        "from minidl.keras import Model, Sequential, layers\nassert layers.LSTM is LSTM",
        "import minidl.keras.layers as L\nassert L.LSTM is LSTM",
        "from minidl.keras import backend as K\nK.clear_session()",
        "from minidl.keras.optimizers.schedules import CosineDecay\nfrom minidl.keras.optimizers import Adam",
        "from minidl.keras.callbacks import EarlyStopping\nfrom minidl.keras.metrics import AUC, Precision, Recall",
        "from minidl.keras.losses import BinaryCrossentropy, binary_crossentropy",
        "from minidl.keras.regularizers import l2, L1L2",
        "from minidl.keras.initializers import glorot_uniform, Orthogonal",
        "from minidl.keras.utils import pad_sequences, to_categorical, clear_session",
        "from minidl.keras.models import load_model\nfrom minidl.keras.activations import relu",
        "from minidl.keras.preprocessing.text import one_hot, text_to_word_sequence, tokenizer_from_json",
    ],
)
def test_spellings(program: str) -> None:
    run(program, LSTM=md.layers.LSTM)


# ---- the names


def test_every_layer_loss_and_optimizer_is_there() -> None:
    bases = {
        "layers": (md.layers, md.layers.Layer),
        "optimizers": (md.optimizers, md.optimizers.Optimizer),
        "optimizers.schedules": (md.schedules, md.schedules.LearningRateSchedule),
        "callbacks": (md.callbacks, md.callbacks.Callback),
        "initializers": (md.initializers, md.initializers.Initializer),
        "regularizers": (md.regularizers, md.regularizers.Regularizer),
        "losses": (md.losses, md.losses.Loss),
        "metrics": (md.metrics, md.metrics.Metric),
    }
    of_minidl_alone = {"FunctionLoss", "FunctionMetric", "LossMetric", "InferredAccuracy", "MeanMetric"}
    for name, (module, base) in bases.items():
        face = importlib.import_module(f"minidl.keras.{name}")
        public = {
            n
            for n, thing in vars(module).items()
            if isinstance(thing, type) and issubclass(thing, base) and n[0] != "_"
        }
        assert public - of_minidl_alone <= vars(face).keys(), name
        for known in public & vars(face).keys():
            assert getattr(face, known) is getattr(module, known)


SIGNATURES = json.loads((Path(__file__).parent / "golden" / "keras_signatures.json").read_text())


def _of_minidl(path: str) -> Any:
    """What minidl.keras has under the name, None if nothing."""
    module, *names = path.removeprefix("optimizers.schedules.").split(".")
    if path.startswith("optimizers.schedules."):
        module, names = "optimizers.schedules", [module]
    thing = vars(importlib.import_module(f"minidl.keras.{module}")).get(names[0])
    return thing if thing is None or names[1:] == [] else getattr(thing, names[1])


@pytest.mark.parametrize("path", [p for p in SIGNATURES if not p.endswith("serialize") and _of_minidl(p) is not None])
def test_what_stands_at_a_place_is_what_keras_has_there(path: str) -> None:
    thing, keras_has = _of_minidl(path), SIGNATURES[path]
    parameters = inspect.signature(thing.__init__ if isinstance(thing, type) else thing).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]
    at_places = [p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert at_places == [name for name, _ in keras_has[: len(at_places)]]
    defaults = dict(keras_has)
    for p in named:
        if defaults.get(p.name) is not None and p.default is not None:  # the names of losses are made when they are
            assert p.default == defaults[p.name], p.name


def test_the_short_names_of_keras() -> None:
    losses, layers = keras.losses, keras.layers
    assert losses.mse is losses.MSE is md.losses.mean_squared_error
    assert losses.mae is losses.MAE is md.losses.mean_absolute_error
    assert losses.kld is losses.KLD is md.losses.kl_divergence
    assert layers.GlobalAvgPool1D is md.layers.GlobalAveragePooling1D
    assert layers.GlobalMaxPool1D is md.layers.GlobalMaxPooling1D


def test_a_layer_writes_its_arguments_down_as_in_keras() -> None:
    for name, thing in (
        ("activations", "relu"),
        ("initializers", "ones"),
        ("regularizers", "l2"),
        ("regularizers", None),
    ):
        module = importlib.import_module(f"minidl.keras.{name}")
        made = module.get(thing)
        assert type(module.deserialize(json.loads(json.dumps(module.serialize(made))))) is type(made)


def test_dir_offers_the_modules() -> None:
    assert {"layers", "Sequential", "utils"} <= set(dir(keras))
    for name in dir(keras):
        assert getattr(keras, name) is not None


@pytest.mark.parametrize(
    ("program", "error", "message"),
    [
        ("keras.layers.Conv2D", AttributeError, "minidl has no keras.layers.Conv2D; it has Activation, Bidirectional"),
        ("keras.layers.LTSM", AttributeError, "minidl has no keras.layers.LTSM; did you mean LSTM?"),
        ("md.Tensr", AttributeError, "module 'minidl' has no attribute 'Tensr'; did you mean Tensor?"),
        ("md.tensor([1.0])", AttributeError, r"has no attribute 'tensor'; Tensor\(value\) is one"),
        ("md.GradientTape()", AttributeError, r"minidl.gradients\(loss, model.trainable_weights\)"),
        ("md.nn.Linear", AttributeError, "has no attribute 'nn'; layers are in minidl.layers"),
        ("md.hessian", AttributeError, r"gradients\(dx\[i\], x, retain_graph=True\) of dx = gradients\("),
        ("md.save", AttributeError, r"has no attribute 'save'; model.save\(path\) writes a model"),
        ("md.datasets", AttributeError, "has no attribute 'datasets'$"),
        ("md.random.normal", AttributeError, r"minidl has no random.normal; did you mean Generator\(seed\).normal"),
        ("from minidl.random import seed", ImportError, "minidl has no random.seed; did you mean set_seed?"),
        ("md.ones(2).view(1, 2)", AttributeError, r"Tensor has no view; it is reshape\(shape\)"),
        ("md.optimizers.Adam().step()", AttributeError, "Adam has no step; it is apply_gradients"),
        ("md.Sequential([]).parameters()", AttributeError, "Sequential has no parameters; it is trainable_weights"),
        ("md.layers.Dense(1).forward", AttributeError, r"Dense has no forward; a layer is called itself, layer\(x\)"),
        ("keras.layer", AttributeError, "minidl has no keras.layer; did you mean layers?"),
        ("keras.losses.mse_loss", AttributeError, "minidl has no keras.losses.mse_loss"),
        ("from minidl.keras.layers import Conv2D", ImportError, "minidl has no keras.layers.Conv2D"),
        ("from minidl.keras.layers import Embeding", ImportError, "did you mean Embedding?"),
        ("from minidl.keras import aplications", ImportError, "minidl has no keras.aplications"),
        ("from minidl.keras import sequential", ImportError, "did you mean Sequential?"),
        ("from minidl.keras.preprocessing import image", ImportError, "minidl has no keras.preprocessing.image"),
        (
            "from minidl.layers import Conv2D",
            ImportError,
            "minidl has no layers.Conv2D; it has Activation, .*serialize$",
        ),
        ("md.layers.Linear", AttributeError, "minidl has no layers.Linear; did you mean Dense?"),
        ("md.losses.BCELoss", AttributeError, "minidl has no losses.BCELoss; did you mean BinaryCrossentropy?"),
        ("md.losses.mse", AttributeError, "minidl has no losses.mse; did you mean mean_squared_error?"),
        ("md.losses.Dice", AttributeError, "minidl has no losses.Dice; it has BinaryCrossentropy, .*squared_hinge$"),
        ("md.optimizers.adam", AttributeError, "minidl has no optimizers.adam; did you mean Adam?"),
        (
            "md.optimizers.Lion",
            AttributeError,
            "no optimizers.Lion; it has Adagrad, Adam, AdamW, Optimizer, RMSprop, SGD",
        ),
        ("from minidl.metrics import F1", ImportError, "minidl has no metrics.F1; did you mean F1Score?"),
        (
            "from minidl.keras.optimizers import Adan",
            ImportError,
            "minidl has no keras.optimizers.Adan; did you mean Adam",
        ),
    ],
)
def test_missing_names_are_explained(program: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.replace("?", r"\?")) as caught:
        exec(program, {"keras": keras, "md": md})
    assert type(caught.value) is error


def test_programs_may_ask_whether_a_name_is_there() -> None:
    assert not hasattr(keras.layers, "Conv2D")
    assert not hasattr(keras, "applications")
    assert getattr(keras.layers, "__wrapped__", None) is None
    for thing, name in ((md.ones(2), "copy"), (md.optimizers.SGD(), "lr"), (md.layers.Dense(1), "train")):
        assert not hasattr(thing, name) and name not in dir(thing)
        assert type(copy.deepcopy(thing)) is type(pickle.loads(pickle.dumps(thing))) is type(thing)


def test_a_name_of_other_libraries_may_be_ones_own() -> None:
    class Net(md.Model):
        def forward(self, x: int) -> int:
            return x

    net: Any = Net()
    net.train = True
    assert net.train is True and net.forward(3) == 3 and {"train", "forward"} <= set(dir(net))


def test_what_is_advised_for_jacobians_and_hessians_is_true() -> None:
    x = md.Tensor([1.0, 2.0], requires_grad=True)
    y = x * x * [1.0, 3.0]
    assert [md.gradients(y[i], x, retain_graph=True).tolist() for i in range(2)] == [[2.0, 0.0], [0.0, 12.0]]
    dx = md.gradients((x * x * x).sum(), x, create_graph=True)
    assert [md.gradients(dx[i], x, retain_graph=True).tolist() for i in range(2)] == [[6.0, 0.0], [0.0, 12.0]]


def test_utils() -> None:
    keras.utils.set_random_seed(3)
    first = md.random.default().uniform(3)
    keras.utils.set_random_seed(3)
    assert (md.random.default().uniform(3) == first).all()
    keras.utils.clear_session()
    assert [keras.layers.Dense(1).name, keras.layers.Dense(1).name] == ["dense", "dense_1"]
    keras.backend.clear_session()
    assert keras.layers.Dense(1).name == "dense"


def test_nothing_is_loaded_before_it_is_used() -> None:
    program = """
import sys
import minidl.keras
assert not {"minidl.layers", "minidl.models", "tqdm"} & sys.modules.keys()
minidl.keras.preprocessing.text
assert "minidl.models" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
