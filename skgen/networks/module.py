"""Networks of the user's: any module that maps rows to rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from skgen.networks.framed import FramedNetwork

Factory = Callable[[int, int], nn.Module]
"""From the numbers of inputs and of outputs to a module that maps (batch, n_inputs) to (batch, n_outputs)."""
N_PROBES = 4
LARGEST_SEED = 2**62


@contextmanager
def _seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed the global generators, which modules draw from, and put them and the default dtype back afterwards.

    Weights must not depend on what else the process draws, nor on the dtype that it draws in.
    """
    cuda = [device] if device is not None and device.type == "cuda" else []
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def _seed(generator: Generator) -> int:
    return int(torch.randint(LARGEST_SEED, (), generator=generator, device=generator.device))


class ModuleNetwork(FramedNetwork):
    """A module of the user's between two affine maps.

    It is in training mode while it is trained, and in evaluation mode otherwise. What it draws in training, such as
    dropout masks, comes from torch's global generator, which is seeded for the call and then put back.

    Parameters
    ----------
    factory : callable
        ``factory(n_inputs, n_outputs)`` returns the module, a new one at each call.
    n_inputs, n_outputs : int
        Widths of its rows.

    Raises
    ------
    ValueError
        If it is no module, gives another shape, or computes a row's output from other rows.
    """

    def __init__(self, factory: Factory, n_inputs: int, n_outputs: int) -> None:
        super().__init__(n_inputs, n_outputs)
        self.factory = factory
        self.module = self._made(0)
        self._widest = n_outputs
        # The seed of what it draws is a number that the host waits for.
        self.draws = self.waits = self._probed()
        # A module's own masks are unknown; what matters to solvers is whether there are any.
        self.dropout = float(self.draws)

    def _made(self, seed: int) -> nn.Module:
        with _seeded(seed):
            module = self.factory(self.n_inputs, self.n_outputs)
            if not isinstance(module, nn.Module):
                raise ValueError(
                    f"network must be a function of (n_inputs, n_outputs) that returns a torch.nn.Module; "
                    f"{self.factory!r} returned {type(module).__name__}."
                )
            if any(is_lazy(parameter) for parameter in module.parameters()):
                self._applied(module.eval(), torch.zeros(N_PROBES, self.n_inputs))
        return module

    def _applied(self, module: nn.Module, x: Tensor) -> object:
        """What a new module makes of rows; a ValueError where it cannot take them."""
        try:
            return module(x)
        except (RuntimeError, TypeError, IndexError) as error:
            raise ValueError(
                f"The module that network={self.factory!r} makes does not take rows ({N_PROBES}, {self.n_inputs}): "
                f"{error}. A factory is called with (n_inputs, n_outputs), and its module with rows (batch, n_inputs)."
            ) from error

    def _probed(self) -> bool:
        """Whether the module draws in training; ValueError if it is no map of single rows."""
        for module in self.module.modules():
            if isinstance(module, _BatchNorm):
                self._refuse(f"holds a {type(module).__name__}")
        for name, value in self.module.state_dict().items():
            if not isinstance(value, Tensor):
                raise ValueError(
                    f"The module that network={self.factory!r} makes has a state {name!r} of type "
                    f"{type(value).__name__}, but only tensors are stored: register it as a buffer, or make it anew."
                )
        parameters = list(self.module.parameters())
        like = parameters[0] if parameters else self.gain
        with _seeded(0), torch.enable_grad():
            x = torch.randn(N_PROBES, self.n_inputs).to(like).requires_grad_()
            with self._watched():
                together = self._checked(self._applied(self.module.eval(), x))
            self._check_alone(x, together)
            before = torch.default_generator.get_state()
            output = self._checked(self.module.train()(x))
            draws = not torch.equal(before, torch.default_generator.get_state())
            if output.requires_grad:
                weight = torch.randn(self.n_outputs).to(output)
                (gradient,) = torch.autograd.grad(output[0] @ weight, x, allow_unused=True)
                if gradient is not None and bool((gradient[1:] != 0).any()):
                    self._refuse("gives the first of some rows a gradient by the others in training mode")
        return draws

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note the widest output of the module's parts."""

        def note(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                self._widest = max(self._widest, output.numel() // N_PROBES)

        handles = [part.register_forward_hook(note) for part in self.module.modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _checked(self, output: object) -> Tensor:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if shape != (N_PROBES, self.n_outputs):
            raise ValueError(
                f"The module that network={self.factory!r} makes must map rows ({N_PROBES}, {self.n_inputs}) to "
                f"({N_PROBES}, {self.n_outputs}), but gave {shape}. A factory is called with (n_inputs, n_outputs); "
                "the last layer must have n_outputs."
            )
        assert isinstance(output, Tensor)
        return output

    def _check_alone(self, x: Tensor, together: Tensor) -> None:
        alone = torch.cat([self.module(row) for row in x.split(1)])
        tolerance = 1e-3 * float(together.detach().abs().amax())
        if not torch.allclose(alone, together, rtol=0, atol=tolerance):
            self._refuse("gives a row another output when it is alone")

    def _refuse(self, reason: str) -> None:
        raise ValueError(
            f"The module that network={self.factory!r} makes {reason}, but rows must not depend on each other: a row "
            "has the same score in any batch. Use nn.LayerNorm or nn.GroupNorm in place of batch normalisation."
        )

    @property
    def width(self) -> int:
        """Inputs, and twice the widest output of a part."""
        return self.n_inputs + 2 * self._widest

    def _body(self, x: Tensor, generator: Generator | None) -> Tensor:
        output: Tensor
        self.module.train(generator is not None)
        if generator is None or not self.draws:
            output = self.module(x)
            return output
        with _seeded(_seed(generator), x.device):
            output = self.module(x)
        return output

    def _reset_body(self, generator: Generator) -> None:
        """Take the parameters that a new module starts from, with its seed drawn from the generator."""
        made = self._made(_seed(generator))
        if {*made.parameters()} & {*self.module.parameters()}:
            raise ValueError(
                f"network={self.factory!r} returned parameters that it had returned before, which other models would "
                "change: a factory makes new ones at each call. Use copy.deepcopy for parts that were made outside it."
            )
        self.module.load_state_dict(made.state_dict())
