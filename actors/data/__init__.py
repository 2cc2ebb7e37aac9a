"""The data actor: ``actor`` has prompts, selector, prompt states and replay, ``service`` is what the driver calls;
``scoring`` and ``fitting`` are offline jobs.
"""
