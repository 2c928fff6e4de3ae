"""The hooks of the chart: what `helm upgrade` and `helm uninstall` need beside the chart's objects (decision 0045).

Each is one process that ends: `upgrade-crds`, `give-back`, `clean-up`. `crds` and `leaving` decide, `hooks` acts. They
import as little as they can, because an emulated node takes seconds to start a process.
"""
