"""Kubernetes objects as plain dictionaries, made from a config: what ``effrl render`` prints and ``k8s/`` holds.

``options`` is what a cluster must say besides the config, ``sizes`` follow from both, ``pod`` builds the pods,
``services`` says what Ray Serve runs, and ``objects`` what KubeRay takes: jobs, clusters, services. ``text`` turns it
all into YAML.
"""
