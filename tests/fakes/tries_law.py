"""The law of tries: no destructive step is carried out more than three times for one wish, whatever drivers make of it.

`history_node.py` uses it; it counts what was carried out, by itself and not by the product's notes.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import SetNumVfs, Settle, Unbind, describe, holds_up_others, pf_of

MOST = 3


class TriesLaw:
    """Counts destructive steps since the wish for a PF began: with an edit, another card, or when it was fulfilled."""

    def __init__(self, seen: Counter[str]) -> None:
        self._seen = seen
        self._done: dict[PciAddress, Counter[str]] = defaultdict(Counter)
        self._other_number: set[PciAddress] = set()
        """PFs of which the driver made another number of VFs than the wish asks for."""

    def edited(self) -> None:
        """The policies changed: every wish is another one."""
        self._done.clear()
        self._other_number.clear()

    def another_card(self, pf: PciAddress) -> None:
        """Another card, or the same once more, is at this address."""
        self._done.pop(pf, None)
        self._other_number.discard(pf)

    def result(self, result: StepResult) -> None:
        """Count a step that was carried out."""
        step, pf = result.step, pf_of(result.step)
        if result.reason is Reason.DRIVER_MADE_OTHER and result.outcome is Outcome.FAILED:
            self._seen[f"made other: {type(step).__name__}"] += 1
            if isinstance(step, Settle):
                self._other_number.add(pf)
        aim = _aim(result)
        if aim is None or result.outcome is not Outcome.DONE:
            return
        self._done[pf][aim] += 1
        assert self._done[pf][aim] <= MOST, f"for one wish {self._done[pf][aim]} times: {describe(step)}"

    def ended(self, results: Sequence[StepResult]) -> None:
        """Take note of the end of a plan: a wish is fulfilled where all steps of its PF are done."""
        for pf in {pf_of(result.step) for result in results}:
            own = [result for result in results if pf_of(result.step) == pf and holds_up_others(result.step)]
            if not all(result.outcome is Outcome.DONE for result in own):
                continue
            if any(isinstance(result.step, SetNumVfs) for result in own):
                self.another_card(pf)
            for aim in [aim for aim in self._done[pf] if aim != "resize" or pf not in self._other_number]:
                del self._done[pf][aim]


def _aim(result: StepResult) -> str | None:
    match result.step:
        case SetNumVfs(value=0):
            return "resize"
        case Unbind(function=function):
            return f"unbind {function.index}"
    return None
