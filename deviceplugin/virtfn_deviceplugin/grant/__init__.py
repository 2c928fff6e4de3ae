"""What a container gets of an offer: decided by one pure function, carried out in one place. No gRPC.

Any server of the kubelet (the device plugin today) only translates a request to `grant` and a `Granted` to an answer.

1. `functions.py` looks at each function: driver, device nodes, use (`shown.py` has the result).
2. `granted.py` decides: `grant(offer, ids, shown)` is the same for the same arguments, and refuses whole requests
   (`offer.py`). The parts are `environment.py`, `device_info.py` and `cdi.py`; all are pure.
3. `effects.py` writes everything that must be there before the answer: the ledger, the grants (`grantfile.py`) and the
   files that other programs read (`infos.py`, `specs.py`, by the rules of `shared.py`). If one write fails, the earlier
   ones are undone and the request is refused: nothing is handed out half. The same if a function was withdrawn
   meanwhile. Requests that share a function wait for each other, so that none undoes what another relies on.
4. Before each start of a container, `prestart.py` compares what it was given with what its functions need now, and its
   resource with that of their last grants.
5. `leaving.py` removes the files about functions that left.

`granter.py` calls these in turn.
"""
