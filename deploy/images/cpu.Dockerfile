# effrl on a CPU, as `make setup` installs it: the same list of packages, and nothing resolved.
# From the root of the project:  docker build -f deploy/images/cpu.Dockerfile -t effrl-cpu .
# Not built yet: no engine was at hand where this was written.
FROM python:3.11-slim-bookworm

# lscpu for vLLM, and tcmalloc, which it asks for; wget for the probes of older KubeRay.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends util-linux libtcmalloc-minimal4 wget \
    && rm -rf /var/lib/apt/lists/*

# Into the system's Python: KubeRay starts Ray in a login shell, which forgets the PATH of an environment.
WORKDIR /opt/effrl
COPY deploy/lock-cpu.txt deploy/lock-cpu.txt
# torch first, and without isolation: deepspeed comes as source, and its setup wants torch in place.
RUN pip install --no-cache-dir --no-deps --extra-index-url https://download.pytorch.org/whl/cpu \
        $(grep -E '^(torch|setuptools|wheel)==' deploy/lock-cpu.txt) \
    && grep -v '^deepspeed==' deploy/lock-cpu.txt > /tmp/lock.txt \
    && pip install --no-cache-dir --no-deps --extra-index-url https://download.pytorch.org/whl/cpu -r /tmp/lock.txt \
    && DS_BUILD_OPS=0 DS_ACCELERATOR=cpu pip install --no-cache-dir --no-deps --no-build-isolation \
        $(grep -E '^deepspeed==' deploy/lock-cpu.txt) \
    && rm /tmp/lock.txt

COPY pyproject.toml README.md LICENSE ./
COPY effrl effrl
COPY actors actors
COPY deploy deploy
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

RUN useradd --uid 1000 --create-home effrl
ENV PYTHONUNBUFFERED=1 DS_ACCELERATOR=cpu RAY_USAGE_STATS_ENABLED=0
USER 1000:1000
WORKDIR /data
CMD ["effrl", "--help"]
