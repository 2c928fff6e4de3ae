"""Pure checks of what can be handed out: one check, one sentence, used by every caller."""
