"""Models in files: what comes back, how training goes on, and what is refused without losing anything."""

from __future__ import annotations

import functools
import json
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl as md
from minidl import layers
from minidl.saving import archive, load_model_and_extra, save_model

IDS = np.random.default_rng(0).integers(0, 20, (24, 6))
LABELS = IDS.sum(1) % 2


def classifier(**embedding: Any) -> md.Sequential:
    return md.Sequential(
        [
            layers.Embedding(20, 4, input_length=6, **embedding),
            layers.LSTM(5, return_sequences=True, dropout=0.2, seed=4),
            layers.Dropout(0.3),
            layers.LSTM(4),
            layers.Dropout(0.3, seed=9),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def trained(optimizer: Any = "adam", epochs: int = 1) -> md.Sequential:
    md.random.set_seed(1)
    model = classifier()
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy", md.metrics.AUC(num_thresholds=7)])
    model.fit(IDS, LABELS, epochs=epochs, batch_size=8, verbose=0)
    return model


def again(model: Any, tmp_path: Path, **options: Any) -> Any:
    model.save(tmp_path / "model.minidl")
    return md.models.load_model(tmp_path / "model.minidl", **options)


def same_weights(a: Any, b: Any) -> bool:
    pairs = list(zip(a.get_weights(), b.get_weights(), strict=True))
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


class Scale(layers.Layer):
    """Multiply by a weight, to the power of an argument."""

    def __init__(self, power: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.power = power

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")

    def call(self, x: Any) -> Any:
        return x * self.factor**self.power

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"power": self.power}


class Branches(md.Model):
    """Two inputs, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = layers.Embedding(20, 3)
        self.mean = layers.GlobalAveragePooling1D()
        self.out = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.out(self.mean(self.ids(inputs["ids"]))) * inputs["scale"]


class Line(md.Model):
    """Weights of its own, made by `build`."""

    def build(self, input_shape: Any) -> None:
        self.slope = self.add_weight((input_shape[-1], 1), name="slope")

    def call(self, x: Any) -> Any:
        return x @ self.slope


class Cubic(md.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return (abs(y_pred - y_true) ** 3).mean(-1)


class Halving(md.schedules.LearningRateSchedule):
    def __init__(self, first: float) -> None:
        self.first = first

    def __call__(self, step: int) -> float:
        return self.first * 0.5**step

    def get_config(self) -> dict[str, Any]:
        return {"first": self.first}


def shifted(x: Any) -> Any:
    return x + 0.5


def distance(y_true: Any, y_pred: Any) -> Any:
    return abs(y_pred - y_true).mean(-1)


# ---- what comes back

MODELS: dict[str, Callable[[], list[Any]]] = {
    "masks": lambda: [
        layers.Embedding(20, 4, mask_zero=True, input_length=6),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="sum"),
        layers.TimeDistributed(layers.Dense(4, activation="gelu", kernel_regularizer="l2")),
        layers.SpatialDropout1D(0.4, seed=1),
        layers.LSTM(3, go_backwards=True, recurrent_initializer=md.initializers.Orthogonal(0.5)),
    ],
    "shapes": lambda: [
        layers.Input((6,)),
        layers.Reshape((3, 2)),
        layers.Masking(7.0),
        layers.GlobalMaxPooling1D(),
        layers.Activation("tanh"),
        layers.Dense(3, bias_initializer=md.initializers.Constant(2.0)),
    ],
    "nested": lambda: [
        layers.Input((6,)),
        md.Sequential([layers.Input((6,)), layers.Dense(4), layers.Reshape((2, 2))]),
        layers.Flatten(),
    ],
    "in float64": lambda: [layers.Embedding(20, 4, input_length=6, dtype="float64"), layers.LSTM(3, dtype="float64")],
}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_same_bits(name: str, tmp_path: Path) -> None:
    model = md.Sequential(MODELS[name](), name="my_model")
    copy = again(model, tmp_path)
    assert copy.name == "my_model"
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    assert same_weights(copy, model)
    expected = model.predict(IDS, verbose=0)
    assert copy.predict(IDS, verbose=0).dtype == expected.dtype
    assert np.array_equal(copy.predict(IDS, verbose=0), expected)
    assert json.dumps(copy.get_config()) == json.dumps(model.get_config())


def test_a_new_process_reads_it(tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / "model.minidl")
    np.save(tmp_path / "ids.npy", IDS)
    program = (
        "import numpy as np, minidl as md\n"
        "model = md.models.load_model('model.minidl')\n"
        "np.save('found.npy', model.predict(np.load('ids.npy'), verbose=0))"
    )
    path = os.pathsep.join([str(Path(md.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, check=True)
    assert np.array_equal(np.load(tmp_path / "found.npy"), model.predict(IDS, verbose=0))


def test_frozen_layers_stay_frozen(tmp_path: Path) -> None:
    model = classifier()
    model.layers[0].trainable = False
    copy = again(model, tmp_path)
    assert [layer.trainable for layer in copy.layers] == [False, True, True, True, True, True]
    assert len(copy.trainable_weights) == len(copy.weights) - 1


def test_subclassed_model_with_named_inputs(tmp_path: Path) -> None:
    x = {"ids": IDS, "scale": np.ones((24, 1), "float32")}
    model = Branches()
    with pytest.raises(KeyError):
        model({"ids": IDS})  # a first call that fails leaves no trace in the file
    model.compile("adam", "mse")
    model.fit(x, LABELS, verbose=0)
    copy = again(model, tmp_path, custom_objects={"Branches": Branches})
    assert isinstance(copy, Branches)
    assert copy.name == model.name
    assert np.array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
    # and once more, with the shapes that were learnt from the file
    assert same_weights(again(copy, tmp_path, custom_objects={"Branches": Branches}), model)


def test_subclassed_model_with_weights_of_its_own(tmp_path: Path) -> None:
    model = Line()
    model(np.ones((4, 3), "float32"))
    assert [w.name for w in model.weights] == ["slope"]
    assert same_weights(again(model, tmp_path, custom_objects={"Line": Line}), model)


def test_things_of_the_users_own(tmp_path: Path) -> None:
    model = md.Sequential([layers.Input((3,)), Scale(power=2), layers.Dense(2, activation=shifted)])
    model.compile(md.optimizers.SGD(Halving(0.5)), Cubic(), metrics=[distance])
    x = np.ones((4, 3), "float32")
    model.fit(x, np.zeros((4, 2)), verbose=0)
    own = {"Scale": Scale, "shifted": shifted, "Cubic": Cubic, "Halving": Halving, "distance": distance}
    copy = again(model, tmp_path, custom_objects=own)
    assert isinstance(copy.layers[0], Scale)
    assert copy.layers[0].power == 2
    assert isinstance(copy.loss, Cubic)
    assert copy.optimizer.learning_rate == 0.25
    assert copy.evaluate(x, np.zeros((4, 2)), verbose=0) == model.evaluate(x, np.zeros((4, 2)), verbose=0)
    for name in own:
        with pytest.raises(ValueError, match=rf"cannot be made again: .*{name}.*custom_objects"):
            md.models.load_model(tmp_path / "model.minidl", {key: own[key] for key in own if key != name})


class Bare(layers.Layer):
    """What somebody writes who has not read about saving."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.dense = layers.Dense(size)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_a_layer_without_a_configuration_says_what_is_missing(tmp_path: Path) -> None:
    model, x = md.Sequential([Bare(2)]), np.ones((4, 3), "float32")
    model(x)
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="Bare.__init__ must take .*, trainable, dtype: write get_config") as caught:
        md.models.load_model(tmp_path / "m", custom_objects={"Bare": Bare})
    assert "custom_objects" not in str(caught.value)
    anew = md.Sequential([Bare(2)])
    anew(x)
    anew.load_weights(tmp_path / "m")  # as the message says
    assert same_weights(anew, model)


class Offset(layers.Layer):
    """A weight that is an attribute."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.by = md.Tensor([0.0], requires_grad=True)

    def call(self, x: Any) -> Any:
        return x + self.by


def test_a_weight_kept_as_an_attribute(tmp_path: Path) -> None:
    model = md.Sequential([Offset(), layers.Dense(1, input_dim=2)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    copy = again(model, tmp_path, custom_objects={"Offset": Offset})
    assert same_weights(copy, model) and copy.layers[0].by.item() != 0


def test_loss_given_as_a_function(tmp_path: Path) -> None:
    model = md.Sequential([layers.Dense(1, input_shape=(2,))])
    model.compile("sgd", md.losses.FunctionLoss(distance, reduction="sum"))
    copy = again(model, tmp_path, custom_objects={"distance": distance})
    assert copy.loss.reduction == "sum"
    assert copy.loss([[0.0], [0.0]], [[1.0], [2.0]]).item() == 3


def test_what_is_kept_beside_the_model(tmp_path: Path) -> None:
    extra = {"classes": ["a", "ß"], "length": 3}
    save_model(classifier(), tmp_path / "m", extra)
    assert load_model_and_extra(tmp_path / "m")[1] == extra


def test_numpy_reads_the_arrays(tmp_path: Path) -> None:
    model = classifier()
    model.save(tmp_path / "m")
    with np.load(tmp_path / "m") as arrays:
        assert np.array_equal(arrays["weights/0"], model.get_weights()[0])


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        layers.base.reset_names()
        trained().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as file:  # the date of writing is not in it
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


# ---- training goes on


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: md.optimizers.Adam(0.01, clipnorm=1.0),
        lambda: md.optimizers.AdamW(0.01),
        lambda: md.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        lambda: md.optimizers.SGD(md.schedules.ExponentialDecay(0.5, 2, 0.5)),
        lambda: md.optimizers.RMSprop(0.01, weight_decay=0.1),
        lambda: md.optimizers.Adagrad(0.1),
    ],
)
def test_resumed_training_gives_the_same_bits(optimizer: Callable[[], Any], tmp_path: Path) -> None:
    whole = trained(optimizer(), epochs=3)
    half = trained(optimizer(), epochs=1)
    half.save(tmp_path / "half")
    md.random.set_seed(77)  # as in another process
    rest = md.models.load_model(tmp_path / "half", resume=True)
    history = rest.fit(IDS, LABELS, epochs=3, initial_epoch=1, batch_size=8, verbose=0)
    assert same_weights(rest, whole)
    assert history.history == {name: values[1:] for name, values in whole.history.history.items()}
    assert rest.optimizer.get_config() == whole.optimizer.get_config()


def test_learning_rate_that_was_changed_is_kept(tmp_path: Path) -> None:
    model = trained()
    model.optimizer.learning_rate = 0.123
    assert again(model, tmp_path).optimizer.learning_rate == 0.123


def test_loading_draws_nothing_from_the_default_stream(tmp_path: Path) -> None:
    trained().save(tmp_path / "m")
    md.random.set_seed(5)
    expected = md.random.default().uniform(4)
    md.random.set_seed(5)
    md.models.load_model(tmp_path / "m")
    assert np.array_equal(md.random.default().uniform(4), expected)


def test_moments_stay_with_their_weights(tmp_path: Path) -> None:
    model = classifier()
    model.layers[0].trainable = False
    model.compile("adam", "binary_crossentropy")
    model.fit(IDS, LABELS, verbose=0)  # the optimizer sees the weights from the second on
    model.layers[0].trainable = True
    model.fit(IDS, LABELS, verbose=0)  # and now the first
    copy = again(model, tmp_path)
    for w, v in zip(model.weights, copy.weights, strict=True):
        for a, b in zip(model.optimizer._kept[w], copy.optimizer._kept[v], strict=True):
            assert a.any()
            assert np.array_equal(a, b)


def test_moments_of_a_layer_that_was_taken_off_are_left_out(tmp_path: Path) -> None:
    model = md.Sequential([layers.Dense(2, input_shape=(3,)), layers.Dense(2)])
    model.compile("adam", "mse")
    x = np.ones((4, 3), "float32")
    model.fit(x, np.ones((4, 2)), verbose=0)
    model.pop()
    copy = again(model, tmp_path)
    assert len(copy.optimizer._kept) == 2
    assert same_weights(copy, model)


def test_without_compile(tmp_path: Path) -> None:
    assert again(classifier(), tmp_path).optimizer is None
    assert again(trained(), tmp_path, compile=False).optimizer is None


# ---- weights alone


def test_weights_alone(tmp_path: Path) -> None:
    model = trained()
    model.save_weights(tmp_path / "w")
    other = classifier()
    other.load_weights(tmp_path / "w")
    assert same_weights(other, model)
    model.save(tmp_path / "m")  # a whole model will do too
    third = classifier()
    third.load_weights(tmp_path / "m")
    assert same_weights(third, model)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: md.Sequential([layers.Dense(1, input_shape=(3,))]), r"holds 9 weights and .* has 2"),
        (lambda: classifier(dtype="float64"), r"does not fit .*: embedding.*float64 \(20, 4\), the file .* float32"),
        (lambda: md.Sequential([*classifier().layers[:5], layers.Dense(2)]), r"dense.*\(4, 2\), the file .* \(4, 1\)"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(other: Callable[[], Any], message: str, tmp_path: Path) -> None:
    classifier().save_weights(tmp_path / "w")
    model = other()
    model.build((None, *model.batch_shape[1:]))
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.load_weights(tmp_path / "w")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_models_without_weights_yet(tmp_path: Path) -> None:
    model = md.Sequential([layers.Dense(1)])
    with pytest.raises(ValueError, match="no weights to save yet"):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
    classifier().save_weights(tmp_path / "w")
    with pytest.raises(ValueError, match="no weights to load into yet"):
        model.load_weights(tmp_path / "w")
    with pytest.raises(ValueError, match="weights alone"):
        md.models.load_model(tmp_path / "w")


# ---- nothing is lost


def _disk_full(*args: Any, **kwargs: Any) -> None:
    raise OSError(28, "No space left on device")


def _stopped(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", [_disk_full, _stopped])
@pytest.mark.parametrize("place", ["numpy.lib.format.write_array", "os.fsync", "os.replace", "json.dumps"])
def test_failure_leaves_the_old_file(
    place: str, failure: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    classifier().save(path)
    before, model = path.read_bytes(), trained()
    monkeypatch.setattr(place, failure)
    with pytest.raises((OSError, KeyboardInterrupt)):
        model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_what_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text("precious")
    model = md.Sequential([layers.Dense(1, activation=lambda x: x, input_shape=(2,))])
    with pytest.raises(TypeError, match="functions that have a name"):
        model.save(path)
    with pytest.raises(FileExistsError, match="overwrite=False"):
        classifier().save(path, overwrite=False)
    with pytest.raises(FileExistsError, match="overwrite=False"):
        classifier().save_weights(path, overwrite=False)
    assert path.read_text() == "precious"


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        classifier().save(tmp_path / "nowhere" / "m")
    with pytest.raises(IsADirectoryError, match="folder"):
        classifier().save(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="a device or a pipe"):
        classifier().save(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", _disk_full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        classifier().save(tmp_path / "m")
    assert str(caught.value) == f"[Errno 28] No space left on device: '{tmp_path / 'm'}'"
    with pytest.raises(OSError, match=".") as caught:
        classifier().save(tmp_path / ("m" * 1000))
    assert caught.value.filename == str(tmp_path / ("m" * 1000))


def test_trying_out_leaves_nothing_behind(tmp_path: Path) -> None:
    archive.try_out(tmp_path / "new")
    (tmp_path / "old").write_text("precious")
    archive.try_out(tmp_path / "old")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["precious"]
    with pytest.raises(OSError, match="."):
        archive.try_out(tmp_path / ("m" * 1000))


@pytest.mark.skipif(sys.platform == "win32", reason="links and permissions are those of POSIX")
def test_links_are_followed_and_permissions_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    classifier().save(real)
    assert stat.S_IMODE(real.stat().st_mode) == 0o666 & ~_umask()
    real.chmod(0o640)
    link.symlink_to(real)
    trained().save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert md.models.load_model(real).optimizer is not None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---- files that are not as they should be


def small_file(tmp_path: Path) -> tuple[Path, Any]:
    model = md.Sequential([layers.Dense(1, input_shape=(2,), name="d")], name="m")
    model.save(tmp_path / "m")
    return tmp_path / "m", model


def test_damage_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    path, model = small_file(tmp_path)
    content = path.read_bytes()
    accepted, complaints = 0, []
    for place in range(0, len(content), 2):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x24]) + content[place + 1 :])
        try:
            found = md.models.load_model(path)
        except ValueError as error:
            complaints.append(str(error))
        else:  # a date, say: nothing that counts
            accepted += 1
            assert same_weights(found, model), place
    assert all("damaged" in complaint for complaint in complaints)
    assert len(complaints) > accepted


def test_cut_files(tmp_path: Path) -> None:
    path, _ = small_file(tmp_path)
    content = path.read_bytes()
    for end in range(0, len(content) - 1, 7):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match="damaged"):
            md.models.load_model(path)


def test_files_of_keras_are_named(tmp_path: Path) -> None:
    old, new = tmp_path / "m.h5", tmp_path / "m.keras"
    old.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with zipfile.ZipFile(new, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, "{}")
    with pytest.raises(ValueError, match=r"m.h5 is an HDF5 file, as Keras writes, .* to set_weights\(\) here$"):
        md.models.load_model(old)
    with pytest.raises(ValueError, match=r"m.keras is .* \(it is a .keras file, as Keras writes, .* here\)$"):
        md.models.load_model(new)


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "m.keras", "m.weights.h5"])
def test_names_of_keras_are_taken_with_a_warning(name: str, tmp_path: Path) -> None:
    model, path = md.Sequential([layers.Dense(1, input_shape=(2,))]), tmp_path / name
    for save, load in ((model.save, md.models.load_model), (model.save_weights, model.load_weights)):
        with pytest.warns(
            UserWarning, match=f"{name} is written in minidl's own format, .* name m.*minidl would"
        ) as seen:
            save(path)
        assert seen[0].filename == __file__
        load(path)


def test_files_of_others(tmp_path: Path) -> None:
    path = tmp_path / "m"
    for content in (b"", b"hello", pickle.dumps({"weights": 1})):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged, or is no file that minidl saved"):
            md.models.load_model(path)
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="no file that minidl saved"):
        md.models.load_model(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        md.models.load_model(tmp_path / "nowhere")


def changed(path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> None:
    """Rewrite the file with another description or other members, and right checksums."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    description = json.loads(members.pop("minidl.json"))
    change(description, members)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("minidl.json", json.dumps(description))
        for name, content in members.items():
            file.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, m: d.update(format=2), "has format 2 and this version of minidl reads format 1"),
        (lambda d, m: d.pop("format"), "has format None"),
        (lambda d, m: m.pop("weights/1.npy"), "damaged"),
        (lambda d, m: d["model"].update(class_name="Unknown"), "unknown class 'Unknown'.*custom_objects"),
        (
            lambda d, m: d["model"]["config"]["layers"][0].update(class_name="Dens"),
            "did you mean 'Dense'.*custom_objects",
        ),
        (lambda d, m: d["model"]["config"]["layers"][0]["config"].update(units=0), "units must be a positive integer"),
        (lambda d, m: d["model"]["config"]["layers"][0]["config"].update(units=2**45), "again: Unable to allocate"),
        (lambda d, m: d["model"]["config"]["layers"][0]["config"].update(units=10**400), "again: .* too large"),
        (lambda d, m: d.update(model=functools.reduce(lambda x, _: {"": x}, range(900))), "made again: .*recursion"),
        (lambda d, m: d["model"]["config"]["layers"][0]["config"].update(what=0), "argument 'what'"),
        (lambda d, m: d["model"]["config"]["layers"][0]["config"].update(units=5), r"does not fit m: d/kernel"),
        (lambda d, m: d["weights"].pop(), "holds 1 weights and m has 2"),
        (lambda d, m: d.update(weights=None), "m is damaged: it does not say which weights"),
        (lambda d, m: d.pop("extra"), "m cannot be made again: 'extra'$"),
        (lambda d, m: d.update(streams=[[0, 0]]), "m cannot be made again: "),
        (lambda d, m: d.update(streams=0), "m cannot be made again: "),
        (lambda d, m: d.update(default_stream=[0, "x"]), "m cannot be made again: "),
    ],
)
def test_descriptions_that_make_no_model(change: Callable[..., None], message: str, tmp_path: Path) -> None:
    path, _ = small_file(tmp_path)
    changed(path, change)
    with pytest.raises(ValueError, match=message):
        md.models.load_model(path)


def test_a_small_file_cannot_fill_the_memory(tmp_path: Path) -> None:
    path, _ = small_file(tmp_path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("weights/2.npy", bytes(10**7))
    assert path.stat().st_size < 10**5
    with pytest.raises(ValueError, match="damaged.*compressed"):
        md.models.load_model(path)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    path, _ = small_file(tmp_path)
    traces = tmp_path / "traces"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (traces,)

    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object))
    trap = (tmp_path / "trap.npy").read_bytes()
    changed(path, lambda d, m: m.update({"weights/0.npy": trap}))
    with pytest.raises(ValueError, match="damaged.*allow_pickle=False"):
        md.models.load_model(path)
    assert not traces.exists()


def test_what_get_config_may_return(tmp_path: Path) -> None:
    held = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": np.arange(2),
        "d": np.dtype("float64"),
        "e": shifted,
        "f": (1, None),
    }
    archive.write(tmp_path / "m", {"held": held}, {})
    description, arrays = archive.read(tmp_path / "m")
    assert arrays == {}
    assert description["held"] == {
        "a": 0.5, "b": 3, "c": [0, 1], "d": "float64", "e": {"function": "shifted"}, "f": [1, None],
    }  # fmt: skip
