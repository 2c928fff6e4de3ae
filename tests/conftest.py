"""How hypothesis runs: a short, repeatable sample in `make test`, the long way in `make prove`."""

import os

from hypothesis import HealthCheck, settings

# The machine may be slow or busy; time is judged by `make bench`, never by a test.
_CALM = [HealthCheck.too_slow]
settings.register_profile("sample", max_examples=100, deadline=None, derandomize=True, suppress_health_check=_CALM)
settings.register_profile("prove", max_examples=20_000, deadline=None, suppress_health_check=_CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "sample"))
