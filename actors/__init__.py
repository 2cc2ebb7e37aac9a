"""What makes the library's protocols true on a cluster: Ray actors around vLLM, DeepSpeed and the rewards' workers."""
