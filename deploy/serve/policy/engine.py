"""vLLM behind the routes: its engine, and its own handlers of OpenAI's API, which know templates, streams and usage."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from vllm import AsyncEngineArgs
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
from vllm.entrypoints.openai.models.protocol import BaseModelPath
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.entrypoints.serve.utils.api_utils import with_cancellation
from vllm.exceptions import VLLMError
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.v1.engine.async_llm import AsyncLLM

from deploy.serve.policy.bodies import ChatBody, CompletionBody, SamplingBody
from deploy.serve.policy.source import Manner, ServedVersion
from effrl.errors import RunError

EXTENSION = "deploy.serve.policy.reload.TakesCheckpoints"
LOAD_S = 600.0
"""Longest that a worker may take to load a checkpoint."""
_REFUSALS = (VLLMError, ValueError, TypeError, OverflowError, NotImplementedError)
"""What vLLM raises of a request that it cannot serve."""


@dataclass(frozen=True, slots=True)
class EngineWish:
    """What an engine is given, and gives."""

    gpus: int
    """To share the model among; 0 for a CPU."""
    tokens: int
    """Longest completion."""


class PolicyEngine:
    """One engine, whose weights can be replaced while nothing is answered."""

    def __init__(self, alias: str, version: ServedVersion, digest: str, manner: Manner, wish: EngineWish) -> None:
        """Start vLLM; needs a running event loop.

        Args:
            alias: name that follows the versions.
            digest: of the version's weights.
            manner: how its run sampled.
            wish: what the server is given.
        """
        self._alias, self._stop, self._tokens = alias, manner.stop, wish.tokens
        self._llm = AsyncLLM.from_engine_args(_arguments(version, manner, wish))
        self._models = OpenAIServingModels(self._llm, [])
        template = dict(manner.model.chat_template_kwargs)
        form: Any = {"chat_template": None, "chat_template_content_format": "string"}
        renderer = OnlineRenderer(
            self._llm.model_config,
            self._llm.renderer,
            request_logger=None,
            default_chat_template_kwargs=template,
            **form,
        )
        common: Any = {"online_renderer": renderer, "request_logger": None}
        self._completion = OpenAIServingCompletion(self._llm, self._models, **common)
        self._chat = OpenAIServingChat(
            self._llm, self._models, "assistant", default_chat_template_kwargs=template, **common, **form
        )
        self._call(version, digest)

    @property
    def alive(self) -> bool:
        """Whether it can answer."""
        return not self._llm.errored

    async def models(self) -> dict[str, Any]:
        """The body of ``/v1/models``."""
        return (await self._models.show_available_models()).model_dump()

    async def chat(self, body: ChatBody, request: Request) -> Response:
        """Answer messages, whole or as a stream of events; what vLLM refuses is told in OpenAI's way."""
        asked = {**self._asked(body), "max_completion_tokens": body.longest}
        return await _answer(
            lambda: self._chat.create_chat_completion(ChatCompletionRequest(**asked), request), request
        )

    async def complete(self, body: CompletionBody, request: Request) -> Response:
        """Go on from a text, as :meth:`chat` does."""

        async def answer() -> Any:
            longest = body.longest or await asyncio.to_thread(self._room, body)  # where it says none, vLLM puts 16
            asked = CompletionRequest(**self._asked(body), max_tokens=longest)
            return await self._completion.create_completion(asked, request)

        return await _answer(answer, request)

    async def load(self, version: ServedVersion, digest: str) -> None:
        """Take the weights of a version; the caller sees to it that nothing is being answered.

        Raises:
            RunError: a worker did not take what lies in the checkpoint; the model is broken.
        """
        await self._llm.pause_generation(mode="abort")  # what a caller left behind; and cached prefixes of old weights
        arguments = (str(version.model),)
        taken = await self._llm.collective_rpc("take_checkpoint", timeout=LOAD_S, args=arguments)
        if {*taken} != {digest}:
            raise RunError(f"the engine did not take the weights of {version.model}: {taken}, not {digest}")
        self._call(version, digest)
        await self._llm.resume_generation()

    def stop(self) -> None:
        """End vLLM's processes."""
        self._llm.shutdown(timeout=10)

    def _call(self, version: ServedVersion, digest: str) -> None:
        """Name what is served: the first name is what answers carry, beside the digest of the weights."""
        names = dict.fromkeys((version.name, self._alias))
        self._models.base_model_paths[:] = [BaseModelPath(name, str(version.model.name)) for name in names]
        self._chat.system_fingerprint = self._completion.system_fingerprint = digest

    def _room(self, body: CompletionBody) -> int:
        """The longest completion that the server gives, and the context has room for; vLLM refuses what has none."""
        prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        encode = self._llm.get_tokenizer().encode
        left = self._llm.model_config.max_model_len - max(len(encode(prompt)) for prompt in prompts)
        return max(1, min(left, self._tokens))

    def _asked(self, body: SamplingBody) -> dict[str, Any]:
        asked = body.model_dump(exclude_unset=True, exclude={"max_tokens", "max_completion_tokens"})
        if self._stop and body.stop is None:
            asked["stop"] = [stop for stop in self._stop if isinstance(stop, str)]
            asked["stop_token_ids"] = [stop for stop in self._stop if isinstance(stop, int)]
            asked["include_stop_str_in_output"] = True
        return asked


def _arguments(version: ServedVersion, manner: Manner, wish: EngineWish) -> AsyncEngineArgs:
    gpus = wish.gpus
    return AsyncEngineArgs(
        model=str(version.model),
        dtype=manner.model.dtype,
        max_model_len=manner.model.context,
        tensor_parallel_size=max(gpus, 1),
        gpu_memory_utilization=manner.gpu_memory,
        kv_cache_memory_bytes=None if gpus else int(manner.kv_cache_gb * 2**30),
        enforce_eager=gpus == 0,  # compiling for a CPU costs more than it saves, and needs a C++ compiler
        # A seeded request whose prompt is cut in two rewinds its random generator, which a CPU generator cannot do.
        enable_chunked_prefill=gpus > 0,
        generation_config="vllm",  # a model's own would sample otherwise than its run did
        override_generation_config={"max_new_tokens": wish.tokens},  # or what room the context has, if that is less
        worker_extension_cls=EXTENSION,
        enable_prefix_caching=True,
        disable_log_stats=True,
    )


async def _answer(call: Any, request: Request) -> Response:
    @with_cancellation
    async def answered(_: None, raw_request: Request) -> Any:
        return await call()

    try:
        answer = await answered(None, request)
    except _REFUSALS as error:
        answer = create_error_response(error)
    if answer is None:  # who asked has gone
        return Response(status_code=499)
    if isinstance(answer, ErrorResponse):
        return JSONResponse(answer.model_dump(), answer.error.code)
    if isinstance(answer, AsyncIterator):
        return StreamingResponse(answer, media_type="text/event-stream", headers={"cache-control": "no-store"})
    return JSONResponse(answer.model_dump())
