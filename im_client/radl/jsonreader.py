"""RADL in JSON -> a document: objects with `class`, `id` and one key a feature, `_min` and `_max` for bounds."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from im_client.radl.features import FeatureType, known_feature
from im_client.radl.lexer import PARAMETER, substitute
from im_client.radl.marks import Node
from im_client.radl.model import (
    Contextualize,
    Deploy,
    Document,
    Feature,
    FeatureValue,
    Operator,
    Recipe,
    Section,
    Soft,
    Step,
    Unknown,
    tool_of,
)
from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code

__all__ = ["read"]

_CLASSES: Final = ("network", "system", "configure", "contextualize", "deploy", "ansible", "description")
_BOUNDS: Final = {"_min": Operator.GE, "_max": Operator.LE}
_NAME: Final = re.compile(r"[^\W\d][\w.\-]*")
_FEATURE: Final = re.compile(r"[^\W\d][\w.\-]*")


def read(root: Node, inputs: Mapping[str, str], findings: Findings) -> Document:
    """Read a document; what is wrong is recorded, and the rest read."""
    return _Reader(inputs, findings).document(root)


class _Reader:
    def __init__(self, inputs: Mapping[str, str], findings: Findings) -> None:
        self._inputs = inputs
        self._findings = findings
        self._sections: dict[str, list[Section]] = {k: [] for k in ("network", "system", "ansible", "description")}
        self._recipes: list[Recipe] = []
        self._deploys: list[Deploy] = []
        self._order: Contextualize | None = None

    def document(self, root: Node) -> Document:
        items = root.value
        if isinstance(items, Mapping):
            items = (root,) if "class" in items else items
        if not isinstance(items, tuple):
            said = "RADL in JSON is a list of objects"
            self._findings.add(Code.WRONG_TYPE, root.at, said, 'write [ {"class": "system", "id": "node"}, ... ]')
            items = ()
        for item in items:
            self._item(item)
        return Document(
            descriptions=tuple(self._sections["description"]),
            ansibles=tuple(self._sections["ansible"]),
            networks=tuple(self._sections["network"]),
            systems=tuple(self._sections["system"]),
            recipes=tuple(self._recipes),
            deploys=tuple(self._deploys),
            contextualize=self._order,
        )

    def _item(self, item: Node) -> None:
        body = item.value
        if not isinstance(body, Mapping):
            self._findings.add(Code.NOT_A_MAP, item.at, "an object is expected here", 'write {"class": "system", ...}')
            return
        kind = self._text(body, "class", item.at, 'write "class": "system"')
        match kind:
            case None:
                return
            case "deploy":
                self._deploy(body, item.at)
            case "contextualize":
                self._contextualize(body, item.at)
            case "configure":
                self._recipe(body, item.at)
            case "network" | "system" | "ansible" | "description":
                self._section(kind, body, item.at)
            case _:
                said = f'there is no class "{kind[:40]}"'
                self._findings.add(Code.WRONG_TYPE, body["class"].at, said, meant(kind, _CLASSES))

    def _text(self, body: Mapping[str, Node], key: str, at: Place, hint: str = "") -> str | None:
        node = body.get(key)
        if node is None:
            self._findings.add(Code.MISSING_PROPERTY, at, f'"{key}" is missing', hint)
            return None
        if not isinstance(node.value, str):
            self._findings.add(Code.WRONG_TYPE, node.at, f'"{key}" is text', hint)
            return None
        return substitute(node.value, self._inputs)

    def _name(self, body: Mapping[str, Node], key: str, at: Place) -> str | None:
        said = self._text(body, key, at, f'write "{key}": "name"')
        if said is None or _NAME.fullmatch(said) or PARAMETER.fullmatch(said):
            return said
        hint = "a letter or _, then letters, digits, dots, dashes and _"
        self._findings.add(Code.RADL_SYNTAX, body[key].at, f"'{said[:40]}' is no name", hint)
        return None

    def _known(self, body: Mapping[str, Node], keys: Iterable[str]) -> None:
        known = tuple(keys)
        for key, node in body.items():
            if key not in known:
                at = node.key_at or node.at
                self._findings.add(Code.UNKNOWN_KEY, at, f'the key "{key[:60]}" means nothing here', meant(key, known))

    def _section(self, kind: str, body: Mapping[str, Node], at: Place) -> None:
        if kind == "description" and isinstance(getattr(body.get("id"), "value", None), int):
            name: str | None = "description"  # the Infrastructure Manager makes numbers up for these
        else:
            name = self._name(body, "id", at)
        if name is None:
            return
        reference = body.get("reference")
        softs = self._softs(body["softs"]) if "softs" in body and kind == "system" else ()
        features = self._features(kind, body, {"class", "id", "reference", *({"softs"} if kind == "system" else ())})
        is_reference = reference is not None and reference.value is True
        self._sections[kind].append(Section(name, features, softs, is_reference, at=body["id"].at))

    def _softs(self, node: Node) -> tuple[Soft, ...]:
        found: list[Soft] = []
        for item in self._list(node, "softs"):
            body = item.value
            inner = body.get("items") if isinstance(body, Mapping) else None
            if not isinstance(body, Mapping) or inner is None or not isinstance(inner.value, Mapping):
                hint = 'write {"weight": 10, "items": {"memory.size_min": 1000}}'
                self._findings.add(Code.WRONG_TYPE, item.at, "these are no soft features", hint)
                continue
            self._known(body, ("weight", "items"))
            weight = self._whole(body, "weight", 0)
            found.append(Soft(weight, self._features("system", inner.value, set()), at=item.at))
        return tuple(found)

    def _list(self, node: Node, what: str) -> tuple[Node, ...]:
        value = node.value
        if isinstance(value, tuple):
            return value
        self._findings.add(Code.WRONG_TYPE, node.at, f'"{what}" is a list')
        return ()

    def _whole(self, body: Mapping[str, Node], key: str, absent: int) -> int:
        node = body.get(key)
        if node is None or node.value is None:
            return absent
        if not isinstance(node.value, int) or isinstance(node.value, bool):
            self._findings.add(Code.WRONG_TYPE, node.at, f'"{key}" is a whole number')
            return absent
        if node.value < 0:
            self._findings.add(Code.BAD_SCALE, node.at, f'"{key}" is {node.value}', "write 0 or more")
            return absent
        return node.value

    def _features(self, kind: str, body: Mapping[str, Node], beside: set[str]) -> tuple[Feature, ...]:
        found: list[Feature] = []
        for key, node in body.items():
            if key in beside:
                continue
            key_at = node.key_at or node.at
            if not _FEATURE.fullmatch(key):
                self._findings.add(Code.RADL_SYNTAX, key_at, f"'{key[:40]}' is no name of a feature")
                continue
            known = known_feature(kind, key)
            if known is not None and known.type is FeatureType.FEATURES:
                found += self._contained(key, node, key_at)
                continue
            name, operator = key, Operator.EQ
            if known is None and key[-4:] in _BOUNDS:
                name, operator = key[:-4], _BOUNDS[key[-4:]]
            value = self._value(key, node)
            if value is not None:
                found.append(Feature(name, operator, value, at=key_at, value_at=node.at))
        return tuple(found)

    def _contained(self, key: str, node: Node, key_at: Place) -> list[Feature]:
        found: list[Feature] = []
        for item in self._list(node, key):
            if not isinstance(item.value, Mapping):
                self._findings.add(Code.NOT_A_MAP, item.at, "an object is expected here", 'write {"name": "..."}')
                continue
            inner = self._features("application", item.value, set())
            found.append(Feature(key, Operator.CONTAINS, inner, at=key_at, value_at=item.at))
        return found

    def _value(self, key: str, node: Node) -> FeatureValue | None:
        match node.value:
            case bool():
                return "yes" if node.value else "no"
            case int() | float():
                return node.value
            case str():
                parameter = PARAMETER.fullmatch(node.value)
                if parameter is not None and parameter[1] not in self._inputs:
                    return Unknown(parameter[1])
                return (
                    _number_or_text(self._inputs[parameter[1]]) if parameter else substitute(node.value, self._inputs)
                )
            case tuple() if all(isinstance(item.value, str) for item in node.value):
                return tuple(substitute(str(item.value), self._inputs) for item in node.value)
            case _:
                self._findings.add(Code.WRONG_TYPE, node.at, f'"{key}" is a text, a number or a list of texts')
                return None

    def _recipe(self, body: Mapping[str, Node], at: Place) -> None:
        self._known(body, ("class", "id", "recipes", "reference"))
        name = self._name(body, "id", at)
        if name is None:
            return
        reference = body.get("reference")
        node = body.get("recipes")
        text = ""
        if node is not None and node.value is not None:
            text = (self._text(body, "recipes", at) or "").replace("\r\n", "\n")
        text_at = node.at if node is not None else at
        lead = len(text) - len(text.lstrip("\n \t\r"))
        text = text[text[:lead].rfind("\n") + 1 :].rstrip()
        is_reference = reference is not None and reference.value is True
        self._recipes.append(Recipe(name, text, is_reference, at=body["id"].at, text_at=text_at, is_folded=True))

    def _deploy(self, body: Mapping[str, Node], at: Place) -> None:
        self._known(body, ("class", "system", "vm_number", "cloud"))
        name = self._name(body, "system", at)
        cloud = self._text(body, "cloud", at) if "cloud" in body and body["cloud"].value is not None else None
        count: int | Unknown = 0
        node = body.get("vm_number")
        parameter = PARAMETER.fullmatch(node.value) if node is not None and isinstance(node.value, str) else None
        if parameter is not None and node is not None:
            said = self._inputs.get(parameter[1])
            if said is None:
                count = Unknown(parameter[1])
            elif said.isascii() and said.isdigit() and len(said) < 10:
                count = int(said)
            else:
                self._findings.add(Code.WRONG_TYPE, node.at, '"vm_number" is a whole number')
        elif node is None:
            self._findings.add(Code.MISSING_PROPERTY, at, '"vm_number" is missing', 'write "vm_number": 2')
        else:
            count = self._whole(body, "vm_number", 0)
        if name is not None:
            self._deploys.append(Deploy(name, count, cloud or None, at=at))

    def _contextualize(self, body: Mapping[str, Node], at: Place) -> None:
        self._known(body, ("class", "max_time", "items", "options"))
        steps: list[Step] = []
        for item in self._list(body["items"], "items") if "items" in body and body["items"].value is not None else ():
            inner = item.value
            if not isinstance(inner, Mapping):
                self._findings.add(
                    Code.NOT_A_MAP, item.at, "an object is expected here", 'write {"system": "...", ...}'
                )
                continue
            self._known(inner, ("system", "configure", "step", "ctxt_tool"))
            system, recipe = self._name(inner, "system", item.at), self._name(inner, "configure", item.at)
            number = self._whole(inner, "step", 0) if "step" in inner else None
            tool = self._text(inner, "ctxt_tool", item.at) if "ctxt_tool" in inner else None
            if system is not None and recipe is not None:
                steps.append(Step(system, recipe, number, tool_of(tool), at=item.at))
        options = body.get("options")
        read = self._features("option", options.value, set()) if options and isinstance(options.value, Mapping) else ()
        before = self._order or Contextualize(at=at)
        limit = self._whole(body, "max_time", 0) or before.max_time_s
        self._order = Contextualize(limit, (*before.options, *read), (*before.steps, *steps), at=before.at)


def _number_or_text(said: str) -> str | int | float:
    if re.fullmatch(r"-?\d{1,30}", said):
        return int(said)
    return float(said) if re.fullmatch(r"-?\d{1,30}\.\d{1,30}", said) else said
