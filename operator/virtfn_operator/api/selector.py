"""metav1.LabelSelector: read strictly, matched as the API server does."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from virtfn_host.core.values.fields import LIST_LIMIT, PolicyError, read_list, read_mapping, read_object, shown

KEY_LIMIT, VALUE_LIMIT, VALUES_LIMIT = 317, 63, 256
"""Characters of a label's name, characters of its value, values of one requirement; the CRD's bounds."""


class Operator(StrEnum):
    """How a requirement compares a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One entry of `matchExpressions`."""

    key: str
    operator: Operator
    values: frozenset[str]
    """A set, because up to 256 values are compared for each of 5,000 nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSelector:
    """A selector: every label and every requirement must hold; an empty selector matches everything."""

    labels: tuple[tuple[str, str], ...] = ()
    requirements: tuple[Requirement, ...] = ()


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether an object with these labels is selected."""
    return all(labels.get(key) == value for key, value in selector.labels) and all(
        _holds(requirement, labels) for requirement in selector.requirements
    )


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    match requirement.operator:
        case Operator.IN:
            return labels.get(requirement.key) in requirement.values
        case Operator.NOT_IN:  # matches an absent label too, as in the API server
            return labels.get(requirement.key) not in requirement.values
        case Operator.EXISTS:
            return requirement.key in labels
        case Operator.DOES_NOT_EXIST:
            return requirement.key not in labels
        case _:
            assert_never(requirement.operator)


def read_selector(value: object, path: str) -> LabelSelector:
    """Read a LabelSelector; None selects everything.

    Raises:
        PolicyError: the value is not a valid selector; the message names the field.
    """
    if value is None:
        return LabelSelector()
    fields = read_object(value, path, ("matchLabels", "matchExpressions"))
    labels = _labels(fields.get("matchLabels", {}), f"{path}.matchLabels")
    expressions = read_list(fields.get("matchExpressions", []), f"{path}.matchExpressions")
    requirements = tuple(_requirement(item, f"{path}.matchExpressions[{n}]") for n, item in enumerate(expressions))
    return LabelSelector(labels=labels, requirements=requirements)


def _labels(value: object, path: str) -> tuple[tuple[str, str], ...]:
    labels = read_mapping(value, path)
    if len(labels) > LIST_LIMIT:
        raise PolicyError(f"{path}: at most {LIST_LIMIT}, got {len(labels)}")
    found = []
    for key, text in labels.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise PolicyError(f"{path}: want label names and text values, got {shown(key)}: {shown(text)}")
        if not 0 < len(key) <= KEY_LIMIT or len(text) > VALUE_LIMIT:
            raise PolicyError(f"{path}: {shown(key)}: {shown(text)} is not a label; a value has at most {VALUE_LIMIT}")
        found.append((key, text))
    return tuple(sorted(found))


def _requirement(item: object, path: str) -> Requirement:
    fields = read_mapping(item, path) if isinstance(item, Mapping) else {}
    key = fields.get("key")
    if not isinstance(key, str) or not 0 < len(key) <= KEY_LIMIT:
        raise PolicyError(f"{path}.key: a requirement needs a label name")
    fields = read_object(fields, path, ("key", "operator", "values"))
    if fields.get("operator") not in tuple(Operator):
        raise PolicyError(f"{path}.operator: {shown(fields.get('operator'))} is not one of {', '.join(Operator)}")
    operator = Operator(str(fields["operator"]))
    values = read_list(fields.get("values", []), f"{path}.values", VALUES_LIMIT)
    texts = frozenset(text for text in values if isinstance(text, str) and len(text) <= VALUE_LIMIT)
    if not all(isinstance(text, str) and len(text) <= VALUE_LIMIT for text in values):
        raise PolicyError(f"{path}.values: want texts of at most {VALUE_LIMIT} characters")
    if bool(values) != (operator in (Operator.IN, Operator.NOT_IN)):
        raise PolicyError(f"{path}.values: In and NotIn need values, Exists and DoesNotExist take none")
    return Requirement(key=key, operator=operator, values=texts)
