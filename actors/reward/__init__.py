"""The reward actor: a sandbox behind an actor, and the service that reads and scores with it."""
