"""Pure checks of what can be handed out. Each check has one sentence, and every caller uses it."""
