"""Environment variables of the actors' processes."""

ENGINE_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine lives in the actor's own process
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork of a process that has threads may hang
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # pinned threads of two engines would share a core
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
CPU_ENVIRONMENT = {
    "TORCH_COMPILE_DISABLE": "1",  # as fast without, and no C++ compiler is needed
    "DS_ACCELERATOR": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    # Each new number of tokens in a batch makes new kernels, and each thread's arena keeps what it once needed: without
    # bounds an engine grows by 30 MiB in 100 steps of the tiny model, and still does after 500.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16",
    "MALLOC_ARENA_MAX": "2",
}
COMMON_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # the driver has downloaded what had to be
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}
