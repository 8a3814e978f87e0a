"""The runs of experiment E6: policies that learn the tasks of :mod:`gcnas.bench.memory`."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from gcnas.bench.memory import RNN, TYPES, MemoryTask
from gcnas.bench.summary import Cell
from gcnas.graph import Memory, encode
from gcnas.graph.batch import empty_batch
from gcnas.graph.vocabulary import FEATURES
from gcnas.policy import GCNPolicy, GCNSettings, Policy, RNNPolicy
from gcnas.records import LayerAction, Trajectory
from gcnas.space import SequenceSpace, token
from gcnas.strategy.reinforce import Baseline, ReinforceSettings

BATCH, CHECKED = 32, 64
CHECK = 20
SOLVED = 0.95


def learn(task: MemoryTask) -> dict[str, Cell]:
    """Learn until solved or out of updates; the measures of :data:`~gcnas.bench.memory.MEASURES`."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.seed)
            learner = (Repeating if task.lag else Announced)(task)
            return _learnt(learner, task)
    finally:
        torch.set_num_threads(before)


def _learnt(learner: "Learner", task: MemoryTask) -> dict[str, Cell]:
    generator, matched, update = torch.Generator().manual_seed(task.seed), 0.0, 0
    start = learner.gradient_ratio(fresh_head=True)
    for update in range(1, task.updates + 1):
        learner.update(generator)
        if update % CHECK == 0 or update == task.updates:
            matched = learner.matched(generator)
            if matched >= SOLVED:
                break
    return {
        "solved": float(matched >= SOLVED),
        "matched": matched,
        "samples": update * BATCH,
        "gradient_start": start,
        "gradient_end": learner.gradient_ratio(fresh_head=False),
    }


class Learner(ABC):
    """Gradient steps by the rule of ``ReinforceStrategy``, or by maximum likelihood.

    Args:
        task: What is learnt.
        parameters: Of the policy.
    """

    def __init__(self, task: MemoryTask, parameters: Iterable[nn.Parameter]) -> None:
        self.task, self.settings = task, ReinforceSettings()
        self._parameters = list(parameters)
        self._optimizer = torch.optim.Adam(self._parameters, lr=self.settings.learning_rate)
        self.baseline = Baseline(self.settings)

    @abstractmethod
    def loss(self, generator: torch.Generator) -> Tensor:
        """(), of a new batch."""

    @abstractmethod
    def matched(self, generator: torch.Generator) -> float:
        """Share that is right in new samples of the policy."""

    def gradient_ratio(self, *, fresh_head: bool) -> float | None:
        """How much of the gradient reaches the first layer, where the task measures that.

        Args:
            fresh_head: Whether random weights stand in for those of the head, which starts at zero and would pass on
                nothing.
        """
        del fresh_head
        return None

    def update(self, generator: torch.Generator) -> None:
        """One gradient step on a new batch."""
        loss = self.loss(generator)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, self.settings.gradient_norm)
        self._optimizer.step()


def _space(name: str, least: int, most: int, window: int) -> SequenceSpace:
    tokens = tuple(token(f"type{code}") for code in range(TYPES))
    return SequenceSpace(name, tokens, min_depth=least, max_depth=most, window=window)


def _graph_policy(space: SequenceSpace, controller: str) -> GCNPolicy:
    memory, _, *plain = controller.split("-")
    return GCNPolicy(space, GCNSettings(memory=cast("Memory", memory), summary=not plain))


def _window(controller: str) -> int:
    return 1 if controller == RNN else int(controller.split("-")[1])


def _last(logits: Tensor, types: Tensor) -> Tensor:
    """(), sum of log p of the last of each sequence (B, N)."""
    return logits.log_softmax(-1)[:, -1].gather(-1, types[:, -1:]).sum()


class GraphTypes:
    """The type decisions of the graph policy: its layer extraction block, without skip connections."""

    def __init__(self, task: MemoryTask) -> None:
        space = _space("repeat", task.depth, task.depth, _window(task.controller))
        policy = _graph_policy(space, task.controller)
        self.block, self.vocabulary = policy.leb, policy.vocabulary
        self.head = self.block.head

    def parameters(self) -> Iterable[nn.Parameter]:
        """Those that decide types."""
        return self.block.parameters()

    def logits(self, types: Tensor) -> Tensor:
        """Logits (B, N, T) of known sequences (B, N)."""
        batch = replace(empty_batch(self.vocabulary, *types.shape), types=types)
        logits: Tensor = self.block(batch, None)
        return logits[..., :TYPES]

    def reached(self, types: Tensor) -> Tensor:
        """(N - 1), mean lengths of the gradients of log p(layer N), of sequences (B, N), by the earlier layers."""
        # What is added to a node of one network alone has the gradient of the node.
        places = self.block.nodes.positions.weight
        gradients = [torch.autograd.grad(_last(self.logits(one), one), places)[0] for one in types[:, None]]
        lengths: Tensor = torch.stack(gradients).norm(dim=2)
        return lengths.mean(0)[1 : types.shape[1]]

    @torch.no_grad()
    def steps(self, count: int) -> Generator[Tensor, Tensor, None]:
        """Logits (B, T) of each next layer; the layer's types (B) are to be sent."""
        state = self.block.start(torch.zeros(count, FEATURES))
        while True:
            types = yield self.block.logits(state)[:, :TYPES]
            state = self.block.append(state, types, None)


class RecurrentTypes:
    """The type decisions of the recurrent policy: one LSTM step for each."""

    def __init__(self, task: MemoryTask) -> None:
        self.policy = policy = RNNPolicy(_space("repeat", task.depth, task.depth, 1))
        self.head = policy.type_head

    def parameters(self) -> Iterable[nn.Parameter]:
        """All of the policy."""
        return self.policy.parameters()

    def logits(self, types: Tensor) -> Tensor:
        """Logits (B, N, T) of known sequences (B, N)."""
        return self._answers(self._told(types))

    def reached(self, types: Tensor) -> Tensor:
        """(N - 1), mean lengths of the gradients of log p(layer N), of sequences (B, N), by the earlier layers."""
        told = self._told(types).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(_last(self._answers(told), types), told)
        lengths: Tensor = gradient.norm(dim=2)
        return lengths.mean(0)[1:]

    def _told(self, types: Tensor) -> Tensor:
        """Inputs (B, N, d): the start, then each layer but the last."""
        told: Tensor = self.policy.inputs(nn.functional.pad(types[:, :-1] + 2, (1, 0), value=1))
        return told

    def _answers(self, told: Tensor) -> Tensor:
        hidden, _ = self.policy.lstm(told)
        logits: Tensor = self.head(hidden)
        return logits[..., :TYPES]

    @torch.no_grad()
    def steps(self, count: int) -> Generator[Tensor, Tensor, None]:
        """Logits (B, T) of each next layer; the layer's types (B) are to be sent."""
        told, state = torch.ones(count, 1, dtype=torch.int64), None
        while True:
            hidden, state = self.policy.lstm(self.policy.inputs(told), state)
            types = yield self.head(hidden[:, 0])[:, :TYPES]
            told = types[:, None] + 2


class Repeating(Learner):
    """``repeat-N-t``: each layer that is decided should have the type of the layer t before it."""

    def __init__(self, task: MemoryTask) -> None:
        self.types: GraphTypes | RecurrentTypes
        self.types = RecurrentTypes(task) if task.controller == RNN else GraphTypes(task)
        super().__init__(task, self.types.parameters())
        self.decided = torch.arange(task.depth) // task.lag % 2 == 1

    def right(self, count: int, generator: torch.Generator) -> Tensor:
        """(B, N): every block of t random types twice."""
        task = self.task
        blocks = torch.randint(TYPES, (count, task.depth // task.lag // 2, 1, task.lag), generator=generator)
        return blocks.expand(-1, -1, 2, -1).reshape(count, task.depth)

    @torch.no_grad()
    def drawn(self, right: Tensor, generator: torch.Generator) -> Tensor:
        """Sequences (B, N) with what the policy draws where it decides, after the given layers of the right ones."""
        steps, drawn = self.types.steps(len(right)), right.clone()
        logits = next(steps)
        for place, open_place in enumerate(self.decided.tolist()):
            if open_place:
                drawn[:, place] = logits.softmax(-1).multinomial(1, generator=generator)[:, 0]
            logits = steps.send(drawn[:, place])
        return drawn

    def loss(self, generator: torch.Generator) -> Tensor:
        """Of a new batch, given blocks aside."""
        sequences = right = self.right(BATCH, generator)
        if self.task.learning != "likelihood":
            sequences = self.drawn(right, generator)
        log = self.types.logits(sequences).log_softmax(-1)[:, self.decided]
        chosen = log.gather(-1, sequences[:, self.decided, None])[..., 0]
        if self.task.learning == "likelihood":
            return -chosen.mean()
        match = (sequences == right)[:, self.decided].float()
        rewards = match.mean(1, keepdim=True) if self.task.learning == "sample" else match
        entropy = -(log.exp() * log).sum(-1).mean()
        return -(self.baseline.advantages(rewards) * chosen).sum(1).mean() - self.settings.entropy * entropy

    def matched(self, generator: torch.Generator) -> float:
        """Share of the decided layers that are right."""
        right = self.right(CHECKED, generator)
        return float((self.drawn(right, generator) == right)[:, self.decided].float().mean())

    def gradient_ratio(self, *, fresh_head: bool) -> float:
        """Of log p(layer N) by layer 1's embedding over that by layer N - 1's; mean lengths of a batch."""
        types, generator = copy.deepcopy(self.types), torch.Generator().manual_seed(self.task.seed)
        if fresh_head:
            nn.init.normal_(types.head.weight, std=types.head.in_features**-0.5, generator=generator)
        lengths = types.reached(self.right(BATCH, generator))
        return float(lengths[0] / lengths[-1])


class Announced(Learner):
    """``announced-N``: the type of the first layer announces the depth."""

    def __init__(self, task: MemoryTask) -> None:
        window = 4 if task.controller == RNN else _window(task.controller)
        self.space = _space("announced", task.depth // TYPES, task.depth, window)
        self.policy: Policy
        if task.controller == RNN:
            self.policy = RNNPolicy(self.space)
        else:
            self.policy = _graph_policy(self.space, task.controller)
        super().__init__(task, self.policy.parameters())

    def right(self, generator: torch.Generator) -> Trajectory:
        """A random network of the depth that its first layer announces."""
        types = torch.randint(TYPES, (self.task.depth,), generator=generator).tolist()
        shape = (self.task.depth, self.space.window - 1)
        edges = torch.randint(2, shape, generator=generator).tolist()
        growth = self.space.start()
        for kind, flags in list(zip(types, edges, strict=True))[: self._depth_of(types[0])]:
            open_edges = growth.connection_mask()
            flags = tuple(flag and free for flag, free in zip(flags, open_edges, strict=True))
            growth = growth.add(LayerAction(kind, (), tuple(map(int, flags))))
        return growth.stop()

    def loss(self, generator: torch.Generator) -> Tensor:
        """Of a new batch of right networks, for each decision of the deepest."""
        networks = [self.right(generator) for _ in range(BATCH)]
        likelihood = self.policy(encode(self.space, self.policy.vocabulary, networks))
        log_probability: Tensor = likelihood.log_probability
        return -log_probability.mean() / self.task.depth

    def matched(self, generator: torch.Generator) -> float:
        """Share of networks whose depth is what their first layer announces."""
        drawn = self.policy.sample(CHECKED, generator)
        return sum(map(self._is_right, drawn)) / CHECKED

    def _is_right(self, network: Trajectory) -> bool:
        return len(network.actions) - 1 == self._depth_of(network.actions[0].type)

    def _depth_of(self, kind: int) -> int:
        return (kind + 1) * self.task.depth // TYPES
