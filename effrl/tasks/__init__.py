"""Problems that the project makes: four families of its own, and reasoning-gym's (``gym``); ``source`` draws them."""
