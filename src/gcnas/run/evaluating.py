"""What evaluates the candidates of a run: in this process, or in several."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch

from gcnas.data import Dataset
from gcnas.data.store import MEMORY_LIMIT
from gcnas.errors import OutOfMemoryError, WorkerError
from gcnas.execution import Evaluated, Executor, Job, ProcessExecutor, RayExecutor, SerialExecutor
from gcnas.execution.cluster import lacking
from gcnas.execution.memory import private_memory
from gcnas.execution.packing import pack
from gcnas.execution.processes import TellProgress
from gcnas.execution.worker_process import Bounds
from gcnas.records import TRAINED_EPOCHS, Soft
from gcnas.run.context import Context, precision_of
from gcnas.run.observer import Observer
from gcnas.space import SearchSpace
from gcnas.training import Donor, Platform, Recipe
from gcnas.training.candidate import ACCURACY, CandidateTrainer
from gcnas.training.memory import memory_errors

SHARED_IMAGES = "workers.npy"
"""File in the run's cache from which all workers read the images."""


@dataclass(frozen=True)
class CandidateSetup:
    """Everything that evaluating a candidate takes; can be sent to a worker process.

    Attributes:
        space: Fitted space.
        dataset: The data; its test split is not touched.
        recipe: The one recipe of the run.
        platform: Where to train.
        reward: Name of the reward.
        fingerprint: Of the space as the run knows it.
        soft: Target that the reward weighs; None for the reward alone.
        donor: Network whose weights every candidate begins with.
    """

    space: SearchSpace
    dataset: Dataset
    recipe: Recipe
    platform: Platform
    reward: str
    fingerprint: str
    soft: Soft | None = None
    donor: Donor | None = None

    def __call__(self, tell: TellProgress) -> Callable[[Job], Evaluated]:
        """What evaluates jobs in this process.

        Raises:
            WorkerError: If the space's file has changed since the run read it, or the images do not fit into memory.
        """
        if self.space.fingerprint != self.fingerprint:
            raise WorkerError(
                "The file of the space was changed while the run goes on; undo that, and resume the run."
            )
        try:
            with memory_errors():
                trainer = CandidateTrainer(self.space, self._data(), self.recipe, self.platform, self.donor)
        except OutOfMemoryError as error:
            raise WorkerError(
                f"The images do not fit into the memory of {self.platform.device}. {error} Make room there, or take a "
                "smaller --resolution, fewer --workers or another --device."
            ) from error
        # The first optimiser makes PyTorch import its compiler, seconds that are not the first candidate's.
        self.recipe.optimizer(torch.nn.Linear(1, 1))
        reward = ACCURACY[self.reward]

        def evaluate(job: Job) -> Evaluated:
            trained = trainer(
                job.proposal.architecture,
                job.fidelity,
                job.seconds,
                lambda share: tell(job.trial, share),
                job.start,
                job.keep,
            )
            metrics = trained.measurement.metrics()
            score = metrics[reward]
            if self.soft is not None:
                score = self.soft.reward(score, self.space.cost(job.proposal.architecture))
            return score, metrics | {TRAINED_EPOCHS: trained.epochs}, trained.weights

        return evaluate

    def _data(self) -> Dataset:
        """The data; on a GPU small sets that processes share are copied, to lie in the memory of the GPU."""
        images = self.dataset.images
        if self.platform.device == "cpu" or images.flags.writeable or images.nbytes > MEMORY_LIMIT:
            return self.dataset
        return replace(self.dataset, images=np.array(images))


def check_setup(context: Context) -> None:
    """Find out early whether candidates can be evaluated in other processes, where they are to be.

    Raises:
        ConfigurationError: If the space cannot be sent there.
    """
    if runs_apart(context):
        pack(for_workers(context.space))


def runs_apart(context: Context) -> bool:
    """Whether candidates are evaluated in other processes: by several workers, or one with a memory limit."""
    workers = context.workers
    return workers.count > 1 or workers.cluster is not None or context.config.worker_memory is not None


def delete_shared_images(context: Context) -> None:
    """Delete those of an earlier process that was killed."""
    with suppress(OSError):
        (context.folder.path / "cache" / SHARED_IMAGES).unlink(missing_ok=True)


def create_executor(context: Context, observer: Observer) -> Executor:
    """The executor for the run's number of workers."""
    workers = context.workers
    setup = CandidateSetup(
        context.space,
        context.dataset,
        context.recipe,
        context.platform,
        context.config.reward,
        context.space.fingerprint,
        context.config.soft,
        context.donor,
    )
    delete_shared_images(context)
    file = context.folder.path / "cache" / SHARED_IMAGES
    if workers.cluster is not None:
        return _on_cluster(setup, context, observer)
    if not runs_apart(context):
        return SerialExecutor(setup(observer.trial_progress))
    if private_memory(os.getpid()) is None:
        observer.note("This system has no /proc: the memory of worker processes is not limited.")
    setup = replace(setup, space=for_workers(context.space), dataset=context.dataset.for_workers(file))
    devices = [workers.device(context.platform.device, worker) for worker in range(workers.count)]
    return ProcessExecutor(
        [replace(setup, platform=replace(context.platform, device=device)) for device in devices],
        threads=workers.threads,
        logs=context.folder.logs,
        bounds=Bounds(memory=workers.memory),
        on_progress=observer.trial_progress,
        scratch=[file],
    )


def _on_cluster(setup: CandidateSetup, context: Context, observer: Observer) -> Executor:
    workers, platform, dataset = context.workers, context.platform, context.dataset
    if workers.cluster is not None and workers.cluster.gpus:
        # The GPUs of the nodes, whatever this machine has.
        autocast = precision_of(context.config, context.space) != "float32"
        platform = replace(platform, device="cuda", channels_last=True, autocast=autocast)
    elif platform.device != "cpu":
        platform = replace(platform, device="cpu", autocast=context.config.precision == "bfloat16")
    if isinstance(dataset.images, np.memmap):
        dataset = replace(dataset, images=np.array(dataset.images))  # no node but this one has the file
    setup = replace(setup, space=for_workers(context.space), dataset=dataset.without_test(), platform=platform)
    reason = None if workers.cluster is None else lacking(context.config.address, workers.cluster)
    if reason is not None:
        observer.note(f"Candidates wait for a place. {reason}")
    return RayExecutor(
        setup,
        capacity=workers.count,
        needs=workers.cluster,
        address=context.config.address,
        on_progress=observer.trial_progress,
    )


def for_workers(space: SearchSpace) -> SearchSpace:
    """The space without its designs by people, which are often lambdas and no matter of the workers."""
    return replace(space, references={}, lasting=())
