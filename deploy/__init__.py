"""How people start effrl: ``cli`` names the commands, ``commands/`` has a file for each.

``doctor/`` looks at machines and clusters, ``jobs/`` talks to a Ray cluster, ``render/`` makes objects of Kubernetes,
``observe/`` makes the dashboard and the alerts, and ``serve/`` has the apps that outlive a run.
"""
