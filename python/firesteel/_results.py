"""Results that have no type of Python's own: instances of a model's classes, enum members, named tuples."""

import collections
import functools


class Object:
    """An instance of a class of the model, its attributes as they were when the call returned."""

    def __init__(self, class_name, names, values):
        self.__dict__["_class_name"] = class_name
        self.__dict__.update(zip(names, values))

    def __repr__(self):
        inside = ", ".join(f"{k}={v!r}" for k, v in self.__dict__.items() if k != "_class_name")
        return f"{self._class_name.rsplit('.', 1)[-1]}({inside})"


class EnumMember(collections.namedtuple("EnumMember", ["class_name", "name"])):
    """A member of an enum of the model."""

    __slots__ = ()

    def __repr__(self):
        return f"{self.class_name.rsplit('.', 1)[-1]}.{self.name}"


def make_object(class_name, names, values):
    if values is None:
        return EnumMember(class_name, names)
    return Object(class_name, names, values)


@functools.lru_cache(maxsize=None)
def _named_tuple(name, fields):
    return collections.namedtuple(name.rsplit(".", 1)[-1], fields, rename=True)


class _Reader:
    """Reads a type's text, as `firesteel.Model.methods` gives it, into a function that rebuilds named tuples."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def word(self):
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in "[](),: ":
            self.at += 1
        return self.text[start:self.at]

    def take(self, piece):
        if self.text.startswith(piece, self.at):
            self.at += len(piece)
            return True
        return False

    def type(self):
        """None where nothing has to be rebuilt."""
        name = self.word()
        if self.take("("):
            return self.named(name)
        if not self.take("["):
            return None
        items = []
        while not self.take("]"):
            items.append(self.type())
            self.take(", ")
            if self.at >= len(self.text):
                break
        return _rebuild(name, items)

    def named(self, name):
        fields, items = [], []
        while not self.take(")"):
            fields.append(self.word())
            self.take(": ")
            items.append(self.type())
            self.take(", ")
            if self.at >= len(self.text):
                break
        make, inner = _named_tuple(name, tuple(fields)), _rebuild("Tuple", items)
        return lambda value: make(*(inner(value) if inner else value))


def _rebuild(name, items):
    if not any(items):
        return None
    keep = [item or (lambda value: value) for item in items]
    if name == "Tuple":
        return lambda value: tuple(f(v) for f, v in zip(keep, value))
    if name == "List":
        return lambda value: [keep[0](v) for v in value]
    if name == "Dict":
        return lambda value: {k: keep[1](v) for k, v in value.items()}
    if name == "Optional":
        return lambda value: None if value is None else keep[0](value)
    return None  # a union: which member it was is not known


def rebuilder(type_text):
    """A function that turns plain tuples into the named tuples that the declared type has, or None."""
    return _Reader(type_text).type() if "(" in type_text else None
