"""Stands in for Ray's client of the Jobs API: jobs in a list, and failures on demand."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeJob:
    submission_id: str
    entrypoint: str
    metadata: dict[str, str] | None
    runtime_env: dict[str, Any]
    resources: tuple[Any, ...]
    status: str = "RUNNING"
    message: str = "Job is currently running."
    start_time: int = 1_700_000_000_000
    end_time: int | None = None
    log: str = "effrl 0.1.0 · quickstart\nstep 1/2\n"


@dataclass
class FakeClient:
    """As :class:`ray.job_submission.JobSubmissionClient`."""

    jobs: list[FakeJob] = field(default_factory=list)
    ends: str = "SUCCEEDED"
    """What becomes of a job whose log is followed to its end."""
    fails: dict[str, Exception] = field(default_factory=dict)
    """What a method raises, by its name."""

    def _called(self, name: str) -> None:
        if name in self.fails:
            raise self.fails[name]

    def submit_job(
        self,
        *,
        entrypoint: str,
        submission_id: str,
        runtime_env: dict[str, Any],
        metadata: dict[str, str],
        entrypoint_num_cpus: float | None,
        entrypoint_memory: int | None,
        entrypoint_resources: dict[str, float] | None,
    ) -> str:
        self._called("submit_job")
        if any(job.submission_id == submission_id for job in self.jobs):
            raise RuntimeError(
                f"Request failed with status code 500: Job with submission_id {submission_id} already exists."
            )
        resources = (entrypoint_num_cpus, entrypoint_memory, entrypoint_resources)
        self.jobs.append(FakeJob(submission_id, entrypoint, metadata, runtime_env, resources))
        self.jobs[-1].start_time += len(self.jobs)
        return submission_id

    def list_jobs(self) -> list[FakeJob]:
        self._called("list_jobs")
        return self.jobs[::-1]

    def get_job_info(self, job_id: str) -> FakeJob:
        self._called("get_job_info")
        return next(job for job in self.jobs if job.submission_id == job_id)

    def get_job_logs(self, job_id: str) -> str:
        self._called("get_job_logs")
        return self.get_job_info(job_id).log

    def stop_job(self, job_id: str) -> bool:
        self._called("stop_job")
        self.get_job_info(job_id).status = "STOPPED"
        return True

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        job = next(job for job in self.jobs if job.submission_id == job_id)
        for line in job.log.splitlines(keepends=True):
            yield line
            await asyncio.sleep(0)
        self._called("tail_job_logs")
        job.status = self.ends
