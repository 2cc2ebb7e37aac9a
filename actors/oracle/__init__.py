"""The label oracle: ``actor`` holds vault and ledger, ``service`` buys from it."""
