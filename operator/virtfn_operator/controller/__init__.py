"""The controller: merges policies into one spec per node, gives nodes their turns and reports on each policy."""
