"""What is wrong with a document: features, their values, what refers to what."""

import ipaddress
import math
from collections.abc import Iterable, Mapping
from typing import Final

from im_client.radl.features import UNITS, Effect, FeatureType, Known, known_feature, names_of, size_of
from im_client.radl.model import Deploy, Document, Feature, Operator, Recipe, Section, Unknown
from im_client.radl.ports import read_ports
from im_client.radl.wanted import amount
from im_client.template.findings import Findings, meant
from im_client.template.problems import Code, Level

__all__ = ["check_document", "check_duplicates"]

_FLAGS: Final = ("yes", "no")
_CLOUD_INIT: Final = "cloud_init"
_BOUNDED: Final = frozenset({Operator.GE, Operator.LE, Operator.GT, Operator.LT})


def check_duplicates(document: Document, findings: Findings) -> None:
    """Find names that one document defines twice; a mention beside the definition is none."""
    kinds: tuple[tuple[str, Iterable[Section | Recipe]], ...] = (
        ("ansible", document.ansibles),
        ("network", document.networks),
        ("system", document.systems),
        ("recipe", document.recipes),
    )
    for kind, found in kinds:
        seen: dict[str, int] = {}
        for one in found:
            if one.is_reference:
                continue
            if one.name in seen:
                said = f'the {kind} "{one.name}" is there twice; the first is on line {seen[one.name]}'
                findings.add(Code.DUPLICATE_KEY, one.at, said)
            seen.setdefault(one.name, one.at.line)


def check_document(document: Document, findings: Findings) -> None:
    """Check everything that is no recipe."""
    for kind, sections in (
        ("ansible", document.ansibles),
        ("network", document.networks),
        ("system", document.systems),
    ):
        for section in sections:
            _features(kind, section.features, findings)
            for soft in section.softs:
                _features(kind, soft.features, findings)
                said = "soft features have no effect: no offer is preferred to another by them"
                findings.warn(Code.IGNORED, soft.at, said)
    for network in document.networks:
        _network(network, findings)
    _mentions(document.networks, findings)
    _mentions(document.systems, findings)
    _mentions(document.ansibles, findings)
    _mentions(document.recipes, findings)
    systems = _defined(document.systems)
    recipes = _defined(document.recipes)
    _connections(document, findings)
    for deploy in document.deploys:
        if not findings.takes(Level.ERROR):
            break
        _deploy(deploy, systems, findings)
    _order(document, systems, recipes, findings)


def _defined(sections: Iterable[Section | Recipe]) -> dict[str, None]:
    return {section.name: None for section in sections if not section.is_reference}


def _mentions(sections: Iterable[Section | Recipe], findings: Findings) -> None:
    defined = _defined(sections)
    for section in sections:
        if section.is_reference and section.name not in defined:
            said = f'"{section.name}" is mentioned, and defined nowhere'
            hint = "a mention stands for what an infrastructure has already; define it: NAME ( ... )"
            findings.add(Code.UNKNOWN_NODE, section.at, said, hint)


def _features(kind: str, features: tuple[Feature, ...], findings: Findings) -> None:
    by_name: dict[str, list[Feature]] = {}
    for feature in features:
        known = known_feature(kind, feature.name)
        if known is None:
            if not findings.takes(Level.WARNING):
                continue
            said = f'"{feature.name[:60]}" is no feature of {_A[kind]} that is known, and has no effect'
            findings.warn(Code.UNKNOWN_PROPERTY, feature.at, said, _meant(kind, feature.name))
            continue
        if _value(feature, known, findings):
            by_name.setdefault(feature.name, []).append(feature)
        if known.effect is Effect.IGNORED:
            findings.warn(Code.IGNORED, feature.at, f'"{feature.name}" has no effect here')
    for of_name in by_name.values():
        _together(of_name, findings)


_A: Final = {
    "system": "a system",
    "network": "a network",
    "ansible": "an ansible host",
    "application": "an application",
}


def _meant(kind: str, name: str) -> str:
    hint = meant(name[:60], names_of(kind, name[:60]))
    return hint if hint.startswith("did") or kind != "system" else ""


def _value(feature: Feature, known: Known, findings: Findings) -> bool:
    """Check one value by itself; False where it is of no use any further."""
    if isinstance(feature.value, Unknown):
        return False
    name, at = feature.name, feature.value_at
    if (known.type is FeatureType.FEATURES) != (feature.operator is Operator.CONTAINS):
        hint = f"write: {name} contains (name = 'x')" if known.type is FeatureType.FEATURES else f"write: {name} = ..."
        findings.add(Code.WRONG_TYPE, feature.at, f'"{name}" does not go with {feature.operator.value}', hint)
        return False
    if known.type is FeatureType.FEATURES:
        _application(feature, findings)
        return False
    if feature.operator in _BOUNDED and not known.bounds:
        said = f'"{name}" is this or that, and knows no {feature.operator.value}'
        findings.add(Code.WRONG_TYPE, feature.at, said, f"write: {name} = ...")
        return False
    match known.type:
        case FeatureType.WHOLE | FeatureType.NUMBER | FeatureType.SIZE:
            return _number(feature, known, findings)
        case FeatureType.FLAG:
            if not isinstance(feature.value, str) or feature.value.lower() not in _FLAGS:
                findings.add(Code.WRONG_TYPE, at, f'"{name}" is yes or no', "write 'yes' or 'no'")
                return False
        case FeatureType.TEXT:
            if not isinstance(feature.value, str):
                findings.add(Code.WRONG_TYPE, at, f'"{name}" is a text', "write it in quotes")
                return False
            return _text(feature, findings)
        case _:
            if not isinstance(feature.value, str | tuple):
                findings.add(Code.WRONG_TYPE, at, f'"{name}" is a text or a list of texts', "write it in quotes")
                return False
    return True


def _number(feature: Feature, known: Known, findings: Findings) -> bool:
    name, value, unit, at = feature.name, feature.value, feature.unit, feature.value_at
    if not isinstance(value, int | float):
        example = "2 GB" if known.type is FeatureType.SIZE else "2"
        findings.add(Code.WRONG_TYPE, at, f'"{name}" is a number', f"write without quotes, for example {example}")
        return False
    if value < 0 or not math.isfinite(value):
        findings.add(Code.CONSTRAINT_VIOLATED, at, f'"{name}" is {value:g}', "write 0 or more")
        return False
    if known.type is FeatureType.SIZE:
        if unit.upper() not in UNITS:
            findings.add(Code.BAD_UNIT, at, f'"{name}" has the unit "{unit}"', "units: B KB MB GB TB, KiB MiB GiB TiB")
            return False
        if size_of(value, unit) is None:
            findings.add(Code.BAD_UNIT, at, f'"{name}" is too large')
            return False
        if not unit and 0 < value < 2**20 and known.effect is Effect.USED:
            said = f'"{name}" is {value:g} bytes, since no unit is given'
            findings.warn(Code.BAD_UNIT, at, said, f"write for example {value:g} GB")
        return True
    if unit and not (known.performance and unit.upper() in {"ECU", "GCEU"}):
        findings.add(Code.BAD_UNIT, at, f'"{name}" has the unit "{unit}", and is a plain number', f"write {value:g}")
        return False
    if known.type is FeatureType.WHOLE and (isinstance(value, float) and not value.is_integer()):
        findings.add(Code.WRONG_TYPE, at, f'"{name}" is a whole number, and {value:g} is none')
        return False
    if value > 2**31:
        findings.add(Code.CONSTRAINT_VIOLATED, at, f'"{name}" is too large')
        return False
    return True


def _text(feature: Feature, findings: Findings) -> bool:
    said = str(feature.value)
    if feature.name.startswith("net_interface.") and feature.name.endswith(".ip"):
        try:
            ipaddress.ip_address(said)
        except ValueError:
            findings.add(
                Code.BAD_NETWORK, feature.value_at, f"'{said[:60]}' is no address", "write for example 10.0.0.5"
            )
            return False
    if feature.name == "instance_tags" and any("=" not in part for part in said.split(",") if part.strip()):
        findings.add(Code.WRONG_TYPE, feature.value_at, f"'{said[:60]}' are no tags", "write: 'key=value,key2=value2'")
        return False
    return True


def _application(feature: Feature, findings: Findings) -> None:
    inner = tuple(f for f in feature.value if isinstance(f, Feature)) if isinstance(feature.value, tuple) else ()
    _features("application", inner, findings)
    named = next((f for f in inner if f.name == "name"), None)
    if named is None:
        findings.add(Code.MISSING_PROPERTY, feature.value_at, "an application has no name", "write: (name = 'x')")
    elif isinstance(named.value, str) and not named.value.startswith(("ansible.modules.", "ansible.collections.")):
        said = f'the application "{named.value[:60]}" is not installed: only roles and collections of Ansible are'
        hint = "name them ansible.modules.NAME or ansible.collections.NAME, and install the rest in a recipe"
        findings.warn(Code.IGNORED, named.value_at, said, hint)


def _together(features: list[Feature], findings: Findings) -> None:
    """Check all that is said of one name: one value, or bounds that leave room."""
    first = features[0]
    equal = [f for f in features if f.operator is Operator.EQ]
    if len(equal) > 1:
        said = f'"{first.name}" is there twice; the first is on line {equal[0].at.line}'
        findings.add(Code.DUPLICATE_KEY, equal[1].at, said)
        return
    low, high = -math.inf, math.inf
    for feature in features:
        number = amount(feature)
        if number is None:
            continue
        if feature.operator in {Operator.EQ, Operator.GE, Operator.GT}:
            low = max(low, math.nextafter(number, math.inf) if feature.operator is Operator.GT else number)
        if feature.operator in {Operator.EQ, Operator.LE, Operator.LT}:
            high = min(high, math.nextafter(number, -math.inf) if feature.operator is Operator.LT else number)
        if low > high:
            findings.add(Code.CONSTRAINT_VIOLATED, feature.at, f'nothing is "{first.name}" as all of this section says')
            return
    known = known_feature("system", first.name)
    if high < math.inf and not equal and known is not None and known.effect is Effect.USED:
        above = next(f for f in features if f.operator in {Operator.LE, Operator.LT})
        said = f'the upper bound of "{first.name}" has no effect: the least that is enough is taken'
        findings.warn(Code.IGNORED, above.at, said)


def _network(network: Section, findings: Findings) -> None:
    for feature in network.features:
        if not isinstance(feature.value, str):
            continue
        if feature.name == "outports":
            for bad in read_ports(feature.value)[1]:
                hint = "ports: 22/tcp, 8080-80/tcp (to another port), 9000:9100/udp (a range)"
                findings.add(Code.BAD_PORT, feature.value_at, str(bad), hint)
        elif feature.name == "cidr" and feature.value:
            try:
                ipaddress.ip_network(feature.value.replace("*", "0"), strict=False)
            except ValueError:
                said = f"\"{network.name}\" has the cidr '{feature.value[:60]}', which is none"
                findings.add(Code.BAD_NETWORK, feature.value_at, said, "write for example 10.0.1.0/24")


def _connections(document: Document, findings: Findings) -> None:
    networks = {n.name: None for n in document.networks}
    hosts = {a.name: None for a in document.ansibles}
    for system in document.systems:
        for feature in system.features:
            value = feature.value
            if not isinstance(value, str):
                continue
            if feature.name.startswith("net_interface.") and feature.name.endswith(".connection"):
                if value not in networks:
                    said = f'"{system.name}" is connected to the network "{value[:60]}", which is not there'
                    findings.add(Code.UNKNOWN_NODE, feature.value_at, said, meant(value, networks))
            elif feature.name == "ansible_host" and value not in hosts:
                said = f'"{system.name}" names the ansible host "{value[:60]}", which is not there'
                findings.add(Code.UNKNOWN_NODE, feature.value_at, said, meant(value, hosts))


def _deploy(deploy: Deploy, systems: Mapping[str, None], findings: Findings) -> None:
    if deploy.system not in systems:
        said = f'there is no system "{deploy.system}" to deploy'
        findings.add(Code.UNKNOWN_NODE, deploy.at, said, meant(deploy.system, systems))


def _order(document: Document, systems: Mapping[str, None], recipes: Mapping[str, None], findings: Findings) -> None:
    order = document.contextualize
    if order is None:
        return
    for option in order.options:
        findings.warn(
            Code.IGNORED, option.at, f'the option "{option.name}" has no effect: Ansible is the installed one'
        )
    if order.max_time_s is not None:
        said = "the time limit of contextualize has no effect: it is set in the settings"
        findings.warn(Code.IGNORED, order.at, said, "im config show: ansible.timeout_s")
    for step in order.steps:
        if step.system not in systems:
            said = f'there is no system "{step.system}" to configure'
            findings.add(Code.UNKNOWN_NODE, step.at, said, meant(step.system, systems))
        if step.recipe not in recipes:
            said = f'there is no recipe "{step.recipe}"'
            findings.add(Code.UNKNOWN_NODE, step.at, said, meant(step.recipe, recipes))
        if step.number is not None and step.number < 1:
            findings.add(Code.CONSTRAINT_VIOLATED, step.at, "steps begin with 1", "write: step 1")
        if step.tool is not None and step.tool.lower() != _CLOUD_INIT:
            said = f'the tool "{step.tool}" is not known'
            findings.add(Code.WRONG_TYPE, step.at, said, "write: with Ansible, or leave it out")
        elif step.tool is not None:
            said = f'"{step.recipe}" is left out: cloud-init recipes are not run'
            findings.warn(Code.IGNORED, step.at, said, "write it for Ansible")
