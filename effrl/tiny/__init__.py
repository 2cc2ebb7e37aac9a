"""The built-in tiny models: ``make`` trains them on ``demonstrations``; ``models/`` holds what came out."""
