"""What tosca-parser makes of templates. A program: it keeps its errors in class attributes, so it gets a process.

Usage: python oracle.py FOLDER < templates. Reads JSON lines `[name, text]`, each a template whose imports are paths,
and prints one JSON line for each: `[name, error or null, {node: {property: value, "host.num_cpus": value}}]`.
"""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import yaml
from toscaparser.common.exception import TOSCAException
from toscaparser.functions import Function
from toscaparser.tosca_template import ToscaTemplate

UNRESOLVED = "(a function that only a deployment resolves)"


def resolved(value: Any, seen: int = 0) -> Any:
    """Replace inputs and properties by their values; what only a deployment knows becomes UNRESOLVED."""
    if isinstance(value, Function):
        if type(value).__name__ not in {"GetInput", "GetProperty", "Concat", "Token"} or seen > 9:
            return UNRESOLVED
        return resolved(value.result(), seen + 1)
    if isinstance(value, list):
        return [resolved(item, seen) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("get_", "concat", "token", "join")):
            return UNRESOLVED
        return {key: resolved(item, seen) for key, item in value.items()}
    return value


def values(template: ToscaTemplate) -> dict[str, dict[str, Any]]:
    """Return every property value of every node template, those of its capabilities as `capability.property`."""
    found: dict[str, dict[str, Any]] = {}
    for node in template.nodetemplates:
        said = found[node.name] = {}
        for name in node.get_properties():
            said[name] = attempt(node.get_property_value, name)
        for capability in node.get_capabilities_objects():
            for name in capability.get_properties():
                said[f"{capability.name}.{name}"] = attempt(capability.get_property_value, name)
    return found


def attempt(get: Any, name: str) -> Any:
    """Return a value, UNRESOLVED where tosca-parser itself cannot compute it."""
    try:
        return resolved(get(name))
    except (TOSCAException, KeyError, ValueError, TypeError, AttributeError, NotImplementedError):
        return UNRESOLVED


def main(folder: Path) -> None:
    """Answer every line of standard input."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        name, text = json.loads(line)
        path = folder / f"{Path(name).stem}.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            template = ToscaTemplate(str(path))
            answer = [name, None, values(template)]
        except (TOSCAException, KeyError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
            answer = [name, f"{type(error).__name__}: {error}", {}]
        except yaml.YAMLError as error:
            answer = [name, f"YAML: {error}", {}]
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
