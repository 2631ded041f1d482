"""Names: from the string, class or saved configuration that a user gives to the object meant by it.

Losses, metrics, optimizers, layers and the like are all asked for in the same ways, and an unknown
name is answered everywhere in the same words, with the nearest name that exists. So is a name that
a module is asked for and has not, and with what to use instead one that other libraries' classes have.

What is needed only where a name is unknown is imported there: tensors and random numbers come with `import minidl`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class UnknownNameError(ValueError):
    """A name that stands in no table: it is misspelled, or of something of the user's own."""


def lookup(kind: str, table: Mapping[str, Any], identifier: Any) -> Any:
    """The entry of the table under this name, as written or in lower case.

    >>> lookup("optimizer", {"adam": 1, "sgd": 2}, "Adam")
    1
    >>> lookup("optimizer", {"adam": 1, "sgd": 2}, "adan")
    Traceback (most recent call last):
    minidl.naming.UnknownNameError: unknown optimizer 'adan'; did you mean 'adam'? Known: 'adam', 'sgd'
    """
    if not isinstance(identifier, str):
        raise TypeError(f"the name of a known {kind} is a string, got {type(identifier).__name__}: {identifier!r}")
    for name in (identifier, identifier.lower()):
        if name in table:
            return table[name]
    known = [name for name in sorted(table) if name.islower()] or sorted(table)
    near = nearest(identifier, known) or nearest(identifier, table)
    raise UnknownNameError(f"unknown {kind} {identifier!r}; {_advice(near, map(repr, known))}")


def resolve(kind: str, table: Mapping[str, Any], identifier: Any, base: type) -> Any:
    """An instance of `base` from an instance, a subclass, a name, or what `serialize` made of one.

    >>> resolve("number", {"int": int}, "int", object), resolve("number", {"int": int}, int, int)
    ('int', 0)
    """
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    if isinstance(identifier, Mapping):
        if not {"class_name", "config"} <= identifier.keys():
            raise ValueError(f'a saved {kind} has the keys "class_name" and "config", got {sorted(identifier)}')
        return lookup(kind, table, identifier["class_name"]).from_config(dict(identifier["config"]))
    return lookup(kind, table, identifier)()


def unexpected(owner: type, given: Iterable[str]) -> TypeError:
    """The error for an argument that the __init__ of a class, and of those it inherits from, does not take.

    >>> class Base:
    ...     def __init__(self, name=None, **unknown): ...
    >>> class Adam(Base):
    ...     def __init__(self, learning_rate=0.001, **options): ...
    >>> unexpected(Adam, ["learning_rte"])
    TypeError("Adam has no argument 'learning_rte'; did you mean 'learning_rate'? Known: learning_rate, name")
    """
    import inspect

    name = next(iter(given))
    made_by = (vars(cls)["__init__"] for cls in owner.__mro__ if "__init__" in vars(cls))
    parameters = (inspect.signature(function).parameters for function in made_by)
    named = [
        p for each in parameters for p in list(each.values())[1:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    known = list(dict.fromkeys(p.name for p in named))
    return TypeError(f"{owner.__name__} has no argument {name!r}; {_advice(nearest(name, known), known)}")


def _advice(near: str | None, known: Iterable[str]) -> str:
    return f"did you mean {near!r}? Known: {', '.join(known)}" if near else f"known: {', '.join(known)}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was meant, in whatever case: one spelled alike, or one that begins so.

    >>> nearest("LTSM", ["Dense", "LSTM"]), nearest("save", ["square"])
    ('LSTM', None)
    """
    import difflib

    spellings = {n.lower(): n for n in known}
    wanted = name.lower()
    near = difflib.get_close_matches(wanted, spellings, 1, 0.75) or [n for n in spellings if n.startswith(wanted)]
    return spellings[near[0]] if near and len(wanted) > 1 else None


def missing_from(module: str, names: Iterable[str], instead: Mapping[str, str] | None = None) -> Callable[[str], Any]:
    """A `__getattr__` for a module, which offers those of these names that are public, or one `instead` of another.

    >>> missing_from("minidl.keras.layers", ["Dense", "LSTM"])("LTSM")
    Traceback (most recent call last):
    AttributeError: minidl has no keras.layers.LTSM; did you mean LSTM?
    """

    def fail(name: str) -> Any:
        known = sorted(n for n in names if not n.startswith("_"))
        near = (instead or {}).get(name) or nearest(name, known)
        advice = f"did you mean {near}?" if near else f"it has {', '.join(known)}"
        message = f"minidl has no {module.removeprefix('minidl.')}.{name}; {advice}"
        raise ImportError(message, name=module) if _in_import_statement() else AttributeError(message)

    return fail


def _in_import_statement() -> bool:
    """Whether the name is asked for by `from module import name`.

    Python would put words of its own in place of those of an AttributeError, but passes on an ImportError.
    """
    import opcode

    asking: Any = sys._getframe(2)
    while asking.f_code.co_name == "__getattr__":
        asking = asking.f_back
    return opcode.opname[asking.f_code.co_code[asking.f_lasti]] == "IMPORT_FROM"


class Instead:
    """Stands in a class for a name that it has not and other libraries' have: to ask for it says what to use.

    Python looks here only for what it is asked by this name, so that others cost nothing. An instance or a subclass
    may have the name for something of its own.

    >>> class Box:
    ...     pass
    >>> offer_instead(Box, {"lid": "it is cover"})
    >>> Box().lid
    Traceback (most recent call last):
    AttributeError: Box has no lid; it is cover
    >>> hasattr(Box(), "lid"), "lid" in dir(Box())
    (False, False)
    """

    def __init__(self, name: str, advice: str) -> None:
        self.name, self.advice = name, advice

    def __get__(self, thing: Any, kind: type) -> Any:
        raise AttributeError(f"{kind.__name__} has no {self.name}; {self.advice}")


def offer_instead(cls: Any, instead: Mapping[str, str]) -> None:
    """Let the class answer for the names of this table by their advice."""
    for name, advice in instead.items():
        setattr(cls, name, Instead(name, advice))
    cls.__dir__ = _names_there_are


def _names_there_are(thing: Any) -> list[str]:
    from inspect import getattr_static

    return [name for name in object.__dir__(thing) if not isinstance(getattr_static(thing, name, None), Instead)]


def defined_in(namespace: Mapping[str, Any]) -> list[str]:
    """The names of the classes and functions that a module defines, itself or in modules beneath it."""
    module = namespace["__name__"]
    return [name for name, thing in namespace.items() if str(getattr(thing, "__module__", "")).startswith(module)]


def serialize(thing: Any) -> dict[str, Any]:
    """What `resolve` rebuilds the thing from: the name of its class and its `get_config()`."""
    return {"class_name": type(thing).__name__, "config": thing.get_config()}


def snake_case(name: str) -> str:
    """The name of a class or a function in lower case, words joined by underscores, divided as Keras does.

    >>> snake_case("TimeDistributed"), snake_case("LSTM"), snake_case("GlobalMaxPooling1D"), snake_case("F1Score")
    ('time_distributed', 'lstm', 'global_max_pooling1d', 'f1_score')
    >>> snake_case("<lambda>")
    'lambda'
    """
    return re.sub("(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", re.sub(r"\W", "", name)).lower()
