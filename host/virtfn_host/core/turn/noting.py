"""The steps that only write the journal, within a plan: new claims first, so that they are there before the touch.

Claims that only end are dropped last, and not before everything is given back: they tell why. What the journal has of
a card that another took the place of is forgotten at once, while both can be told apart.
"""

from collections.abc import Iterator
from dataclasses import replace

from virtfn_host.core.values.desired import Desired
from virtfn_host.core.values.steps import Forget, NoteClaims, PfPlan


def noted(part: PfPlan, desired: Desired) -> PfPlan:
    """Return the plan of a PF with the step that notes its claims, if the journal has others."""
    if part.pf in desired.replaced:
        part = replace(part, steps=(Forget(pf=part.pf, another=True), *part.steps))
    note = next((note for note in desired.notes if note.address == part.pf), None)
    wanted = desired.pf(part.pf)
    waits = part.blocked or (wanted is not None and wanted.refused)
    if note is None or (waits and not note.adds):
        return part
    step = NoteClaims(pf=part.pf, claims=note.claims)
    return replace(part, steps=(step, *part.steps) if note.adds else (*part.steps, step))


def only_notes(desired: Desired) -> Iterator[PfPlan]:
    """Return plans for functions of which nothing else is desired."""
    others = {note.address for note in desired.notes} | set(desired.replaced)
    for address in sorted(others - {pf.address for pf in desired.pfs}):
        yield noted(PfPlan(pf=address, steps=()), desired)
