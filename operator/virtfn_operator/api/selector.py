"""metav1.LabelSelector: read it strictly, match it as the API server does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from virtfn_host.core.policy import PolicyError


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
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSelector:
    """Every label and every requirement must hold; without any, everything matches."""

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
        case Operator.NOT_IN:  # an absent label is in no set, so it matches (the API server's rule)
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
        PolicyError: it is none; the message names the field.
    """
    if value is None:
        return LabelSelector()
    if not isinstance(value, Mapping):
        raise PolicyError(f"{path}: want an object, got {value!r}")
    if unknown := sorted(set(value) - {"matchLabels", "matchExpressions"}):
        raise PolicyError(f"{path}.{unknown[0]}: unknown field; known are matchLabels, matchExpressions")
    labels = value.get("matchLabels") or {}
    if not isinstance(labels, Mapping) or not all(isinstance(item, str) for item in labels.values()):
        raise PolicyError(f"{path}.matchLabels: want label names and text values, got {labels!r}")
    expressions = value.get("matchExpressions") or []
    if not isinstance(expressions, Sequence) or isinstance(expressions, str):
        raise PolicyError(f"{path}.matchExpressions: want a list, got {expressions!r}")
    requirements = tuple(_requirement(item, f"{path}.matchExpressions[{n}]") for n, item in enumerate(expressions))
    return LabelSelector(labels=tuple(sorted(labels.items())), requirements=requirements)


def _requirement(item: object, path: str) -> Requirement:
    fields = item if isinstance(item, Mapping) else {}
    key, values = fields.get("key"), fields.get("values") or ()
    if not isinstance(key, str) or not key:
        raise PolicyError(f"{path}.key: a requirement needs a label name")
    if fields.get("operator") not in tuple(Operator):
        raise PolicyError(f"{path}.operator: {fields.get('operator')!r} is none of {', '.join(Operator)}")
    operator = Operator(fields["operator"])
    if not isinstance(values, list | tuple) or not all(isinstance(text, str) for text in values):
        raise PolicyError(f"{path}.values: want a list of texts, got {values!r}")
    if bool(values) != (operator in (Operator.IN, Operator.NOT_IN)):
        raise PolicyError(f"{path}.values: In and NotIn need values, Exists and DoesNotExist take none")
    return Requirement(key=key, operator=operator, values=tuple(values))
