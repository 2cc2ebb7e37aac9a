"""The data actor: prompts, selector, prompt states and replay; ``scoring`` and ``fitting`` are offline jobs."""
